"""What opened Books come to: checked against the chain, settled from their files. Verifiers do it to vote, watchers to know better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from subak.archive.books import MAX_SEALS, BookRefused, load_book, paths_of, read_contents, read_policy, read_state, schemas_of
from subak.archive.store import FolderArchive, NotThere, get_checked
from subak.archive.tables import write_tables
from subak.chain.settlement import Opened, SettlementView
from subak.chain.settlement import Settlement as Chain
from subak.chain.snapshot import Finalised, Follower
from subak.core.canon.json import hash_json
from subak.core.canon.keccak import keccak256
from subak.core.canon.typed_data import EpochRoot, result_hash
from subak.core.kind import Schema
from subak.core.nouns import Contents, Hash, Head, Network, SegmentRef, Settlement, Snapshot, SnapshotRef, State, decode
from subak.core.settlement import epoch_root, settle_range
from subak.kinds.registry import installed, rules_for
from subak.verifier.peers import Peers, head_holds


@dataclass(frozen=True)
class Settled:
    """A range of Books, settled here."""

    message: EpochRoot
    """What to vote for."""
    settlements: Sequence[Settlement]
    """One per Book."""

    @property
    def result(self) -> Hash:
        """The message's EIP-712 hash."""
        return Hash(result_hash(self.message))


class Judge:
    """Settles what was opened, from the chain and from whoever has the files, believing neither lead nor peer."""

    def __init__(self, network: Network, archive: FolderArchive, peers: Peers, chain: Chain, follower: Follower) -> None:
        """``archive``: where files are brought, and kept."""
        self.network, self.archive, self.peers, self.chain, self.follower = network, archive, peers, chain, follower
        self._schemas = {schema.id: schema for schema in schemas_of({name: kind.rules for name, kind in installed().items()}).values()}
        self._settled: dict[tuple[Hash, ...], Settled] = {}
        self._listed_segments: set[bytes] = set()
        self._finals: list[Finalised] = []
        self._blocks = ThreadPoolExecutor(2, thread_name_prefix="judge")

    def finals(self) -> Sequence[Finalised]:
        """The ranges that were final at the last tick, those of earlier Settlements too."""
        return self._finals

    def _note_finals(self) -> None:
        """Which segments final Books list: they never need to be listed again, also not by a Settlement that took over."""
        finals = self.follower.history()
        if finals[: len(self._finals)] != self._finals:
            self._finals, self._listed_segments = [], set()  # the chain lost its last second
        for final in finals[len(self._finals) :]:
            for book_hash in final.book_hashes:
                self.peers.fetch(f"book/{book_hash.hex()}.json", book_hash, self.archive)
                self._listed_segments.update(ref.sha for ref in read_contents(self.archive, book_hash).segments)
            self._finals.append(final)
            self._settled.clear()
            self._on_final(final)

    def _on_final(self, final: Finalised) -> None:
        """A range became final."""

    def _final_state(self) -> State:
        """The last final state."""
        return self._state(self._finals[-1].state_root) if self._finals else State.genesis()

    def _state(self, state_root: bytes) -> State:
        """Carried state of this root, from another verifier if this one did not settle that epoch."""
        if state_root != State.genesis().root():
            self.peers.fetch_tables("state", state_root, self.archive)
        return read_state(self.archive, state_root)

    def _schema(self, ref: SegmentRef) -> Schema:
        for schema in self._schemas.values():
            if schema.name == ref.schema:
                return schema
        raise BookRefused(f"no installed kind has the schema {ref.schema}")

    def _contents(self, epoch: int, heads: Mapping[bytes, Head], listed: set[bytes], snapshot: tuple[SnapshotRef, Snapshot]) -> Contents:
        """The one Book that these heads and the chain come to."""
        ref, facts = snapshot
        previous, beacon = self.follower.beacon(epoch)
        write_tables(self.archive, "snapshot", facts.tables)
        segments = {segment.sha: segment for head in heads.values() for segment in head.segments if segment.sha not in listed}
        clock = self.network.clock
        return Contents(
            network=Hash(self.network.id),
            epoch=epoch,
            first_unix_s=clock.first_unix_s(epoch),
            end_unix_s=clock.end_unix_s(epoch),
            close_unix_s=clock.close_unix_s(epoch),
            policy=self.follower.policy(epoch),
            snapshot=ref,
            segments=tuple(sorted(segments.values(), key=book_order)),
            heads=tuple(sorted(Hash(hash_json(head)) for head in heads.values())),
            lines=tuple(sorted({sha for head in heads.values() for sha in head.lines})),
            previous=previous,
            beacon=beacon,
        )

    def _bring_home(self, contents: Contents) -> None:
        """Every file that the Book names, in this verifier's own folder."""
        for path, sha in paths_of(contents):
            self.peers.fetch(path, sha, self.archive)
        self.peers.fetch(f"policy/{contents.policy.hex()}.json", contents.policy, self.archive)
        for kind in read_policy(self.archive, contents.policy).kinds.values():
            for sha in kind.tables.values():
                self.peers.fetch(f"tables/{sha.hex()}.parquet", sha, self.archive)

    def _settle(self, view: SettlementView, opened: Opened) -> Settled:
        """This verifier's own result for the opened Books. Errors: BookRefused if the lead put in what does not belong there."""
        book_hashes = self.follower.opened_books(opened.first, opened.attempt)
        if keccak256(b"".join(book_hashes)) != opened.books_hash:
            raise BookRefused(f"the Books opened for epochs {opened.first}..{opened.last} are not those whose hash the chain holds")
        if book_hashes not in self._settled:
            listed = set(self._listed_segments)
            for epoch, book_hash in enumerate(book_hashes, opened.first):
                self.peers.fetch(f"book/{book_hash.hex()}.json", book_hash, self.archive)
                contents = read_contents(self.archive, book_hash)
                self._check(contents, epoch, listed)
                listed.update(ref.sha for ref in contents.segments)
            self._settled[book_hashes] = self._compute(book_hashes, view)
        return self._settled[book_hashes]

    def _compute(self, book_hashes: tuple[Hash, ...], view: SettlementView) -> Settled:
        """What these Books, which are at home, come to after what is final: the same for everyone."""
        kinds = [rules_for(read_policy(self.archive, read_contents(self.archive, each).policy)) for each in book_hashes]
        books = [load_book(self.archive, each, rules) for each, rules in zip(book_hashes, kinds, strict=True)]
        before = self._state(view.state_root)
        settlements = settle_range(books, before.resumed(view.rewards, view.fees), kinds, self._blocks.map)
        return Settled(epoch_root(settlements, books, view.root, view.state_root), settlements)

    def _check(self, contents: Contents, epoch: int, listed: set[bytes]) -> None:
        """Is this the Book of that epoch, with the chain's facts and only what verifiers signed for, in the one allowed order?"""
        snapshot = self.follower.snapshot(epoch)
        if snapshot is None:
            raise NotThere(f"snapshot of epoch {epoch}", "the chain, whose block at its end is not final yet")
        self._bring_home(contents)
        heads = [decode(get_checked(self.archive, f"heads/{sha.hex()}.json", sha), Head) for sha in contents.heads]
        for head in heads:
            if head.epoch != epoch or head.network != self.network.id or not head_holds(head):
                raise BookRefused(f"epoch {epoch}: the head of {head.verifier!r} speaks of epoch {head.epoch} or is not signed by it")
            if any(ref.verifier != head.verifier for ref in head.segments) or len(head.seals) > MAX_SEALS:
                raise BookRefused(f"epoch {epoch}: the head of {head.verifier!r} lists what it did not take in itself, or too many seals")
        if not all(self.chain.weights([head.verifier for head in heads], epoch)[0]):
            raise BookRefused(f"epoch {epoch}: a head comes from an account that is no verifier: {[head.verifier for head in heads]}")
        expected = self._contents(epoch, {head.verifier: head for head in heads}, listed, snapshot)
        if expected != contents:
            different = [name for name in Contents.__struct_fields__ if getattr(expected, name) != getattr(contents, name)]
            raise BookRefused(f"epoch {epoch}: the lead's Book differs from what its heads and the chain say in {different}")


def book_order(ref: SegmentRef) -> tuple[bytes, int, str]:
    """Segments count as listed by verifier, then by place in its log: no lead can choose which of two conflicting Entries is first."""
    return (ref.verifier, ref.position, ref.schema)
