"""An epoch's life, as one verifier lives it: cut, open, settle, sign, propose, finalize, pay.

Every step looks at what the chain says now and does what is missing, so that a restart, a lost block or a silent lead needs no special
case: whoever's turn it is does the next step, and doing it twice changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol

import msgspec
import polars as pl

from subak.archive.books import BookRefused, load_book, paths_of, read_contents, read_policy, read_state, schemas_of, write_state
from subak.archive.log import EntryLog
from subak.archive.segments import read_segment, segment_path, write_segments
from subak.archive.store import ArchiveError, FolderArchive, NotThere, get_checked
from subak.archive.tables import read_lines, write_lines, write_tables
from subak.chain.accounts import Account
from subak.chain.settlement import Opened, Pending, SettlementView
from subak.chain.settlement import Settlement as Chain
from subak.chain.snapshot import Finalised, Follower
from subak.core.canon.ids import draw_seed
from subak.core.canon.json import encode, hash_json
from subak.core.canon.keccak import keccak256
from subak.core.canon.typed_data import EpochRoot, epoch_root_digest
from subak.core.kind import Asked, Schema
from subak.core.nouns import Contents, Hash, Head, Network, SegmentRef, Settlement, Snapshot, SnapshotRef, State, Vote, decode
from subak.core.nouns.document import Signature
from subak.core.settlement import epoch_root, settle_range, verdict_tables
from subak.core.settlement.money import to_ints
from subak.core.settlement.roots import payout_tree
from subak.kinds.registry import installed, rules_for
from subak.verifier.journal import Journal
from subak.verifier.peers import Peers, head_digest, head_holds
from subak.verifier.uncut import Uncut

log = logging.getLogger("subak.verifier")

MAX_EPOCH = 2**32 - 1
MAX_RANGE = 8
"""A backlog drains in ranges of at most this many Books."""
PATIENCE = 4
"""A lead waits 1/PATIENCE of its turn for missing heads; a step that is the lead's to do falls to anyone after as long."""
CLAIM_BATCH = 64
MOST_CLAIMS = 1024
"""Up to this many accounts are paid out by the lead; beyond it everyone claims for themselves."""


@dataclass(frozen=True)
class Settled:
    """A range of Books, settled here."""

    message: EpochRoot
    """What to sign."""
    settlements: Sequence[Settlement]
    """One per Book."""


class Lines(Protocol):
    """Where a verifier keeps vouchers' lines."""

    def table(self, redeemed: Mapping[bytes, tuple[int, int, bytes]], taken: Mapping[bytes, int]) -> pl.DataFrame:
        """Lines of these lanes' vouchers (lane to seq, total, hash of the lines), without those of which this total was taken already."""


class Closing:
    """Brings epochs to an end."""

    def __init__(
        self,
        network: Network,
        me: Account,
        archive: FolderArchive,
        entries: EntryLog,
        journal: Journal,
        peers: Peers,
        chain: Chain,
        follower: Follower,
        lines: Lines,
    ) -> None:
        """``chain`` sends with this verifier's account."""
        self.network, self.me, self.archive, self.entries = network, me, archive, entries
        self.journal, self.peers, self.chain, self.follower, self.lines = journal, peers, chain, follower, lines
        self._uncut = Uncut(entries, network.clock, journal.heads())
        self._schemas = {schema.id: schema for schema in schemas_of({name: kind.rules for name, kind in installed().items()}).values()}
        self._settled: dict[tuple[Hash, ...], Settled] = {}
        self._listed_segments: set[bytes] = set()
        self._finals: list[Finalised] = []
        self._paid_out = -1
        self._blocks = ThreadPoolExecutor(2, thread_name_prefix="judge")

    def tick(self, now_unix_s: int) -> None:
        """Do what is due at this network time.

        Errors: NotThere, ArchiveError, RpcError, RpcUnreachable, NotMined, ChainForgot and ChainRefused mean "not now": call again.
        BookRefused means that a lead opened what should not be signed; its turn passes.
        """
        self._note_finals()
        self._make_heads(now_unix_s)
        view = self.chain.view()
        opened = view.opened
        if view.pending is not None and opened is not None:
            self._finalize(view, opened, view.pending, now_unix_s)
        elif view.open_now and opened is not None:
            self._work_on(view, opened)
        elif view.next_epoch < self.network.clock.epochs_closed_at(now_unix_s):
            self._open(view, now_unix_s)
        if view.pending is None:
            self._pay_out(now_unix_s)

    def late_epochs(self) -> int:
        """How late a line may come, as the policy of the newest epoch says; a week if no policy can be had yet."""
        policy_hash = self.follower.policy(MAX_EPOCH)
        try:
            self.peers.fetch(f"policy/{policy_hash.hex()}.json", policy_hash, self.archive)
            return read_policy(self.archive, policy_hash).late_epochs
        except ArchiveError:
            return 7

    def finals(self) -> Sequence[Finalised]:
        """The ranges that were final at the last tick."""
        return self._finals

    def _note_finals(self) -> None:
        """Which segments final Books list: they never need to be listed again."""
        finals = self.follower.finalised()
        if finals[: len(self._finals)] != self._finals:
            self._finals, self._listed_segments, self._paid_out = [], set(), -1  # the chain lost its last second
        for final in finals[len(self._finals) :]:
            for book_hash in final.book_hashes:
                self.peers.fetch(f"book/{book_hash.hex()}.json", book_hash, self.archive)
                self._listed_segments.update(ref.sha for ref in read_contents(self.archive, book_hash).segments)
            self._finals.append(final)
            self._settled.clear()
            self._forget(final.last)

    def _forget(self, epoch: int) -> None:
        """Let go of the log's files whose Entries are in segments and too old for anyone to send again; the segments stay."""
        too_old = epoch - self.late_epochs() - 1
        for cut in self.entries.cuts:
            if cut.epoch == too_old:
                self.entries.forget(self._uncut.forgettable(cut.end))

    def _make_heads(self, now_unix_s: int) -> None:
        """For every epoch whose intake has closed: say which segments this verifier brings."""
        for epoch in range(self.journal.heads(), self.network.clock.epochs_closed_at(now_unix_s)):
            try:
                self._make_head(epoch)
            except Exception:
                # What was taken belongs to a head that was not kept: begin again from what is on disk.
                self._uncut = Uncut(self.entries, self.network.clock, self.journal.heads())
                raise

    def _make_head(self, epoch: int) -> None:
        fresh = self._uncut.take(self.entries.cut(epoch))
        before = self.journal.head(epoch - 1)
        kept = tuple(ref for ref in (before.segments if before else ()) if ref.sha not in self._listed_segments)
        new = write_segments(self.archive, fresh, self._schemas, self.network.id, self.me.address)
        head = Head(Hash(self.network.id), epoch, self.me.address, kept + new, self._write_lines(), Signature(bytes(64)))
        head = msgspec.structs.replace(head, signature=self.me.sign_digest(head_digest(head)))
        self.archive.put(f"heads/{hash_json(head).hex()}.json", encode(head))
        self.journal.keep_head(head)
        log.info("epoch %d: brings %d segments, %d new Entries", epoch, len(head.segments), len(fresh))

    def _write_lines(self) -> tuple[Hash, ...]:
        """Lines of redeemed vouchers that the final state has not taken yet, as far as this verifier has them."""
        lanes = self._final_state().lanes
        lines = self.lines.table(self.follower.redeemed(), dict(zip(lanes["lane"].to_list(), to_ints(lanes["total"]), strict=True)))
        return (Hash(write_lines(self.archive, lines)),) if len(lines) else ()

    def _final_state(self) -> State:
        """The last final state."""
        return self._state(self._finals[-1].state_root) if self._finals else State.genesis()

    def _state(self, state_root: bytes) -> State:
        """Carried state of this root, from another verifier if this one did not settle that epoch."""
        if state_root != State.genesis().root():
            self.peers.fetch_tables("state", state_root, self.archive)
        return read_state(self.archive, state_root)

    def asked(self, epoch: int, asset: bytes) -> Asked | None:
        """What an asset's tasks of an epoch are drawn from; None while it is unknown."""
        previous, beacon = self.follower.beacon(epoch)
        state = next((each.state for settled in [*self._settled.values()] for each in settled.settlements if each.epoch == epoch - 1), None)
        if state is None and self._finals and self._finals[-1].last == epoch - 1:
            state = self._final_state()
        if state is None or not any(beacon):
            return None
        kinds = read_policy(self.archive, self.follower.policy(epoch)).kinds
        for kind, table in state.carried.items():
            found = table.filter(pl.col("asset") == asset)
            if len(found) and kind in kinds:
                return Asked(draw_seed(previous, beacon), found.drop("asset").row(0, named=True), kinds[kind].parameters)
        return None

    def _open(self, view: SettlementView, now_unix_s: int) -> None:
        """Open the next Books, if it is this verifier's turn."""
        clock = self.network.clock
        first = view.next_epoch
        if self.chain.lead(first + view.current_attempt) != self.me.address:
            return
        last = min(clock.epochs_closed_at(now_unix_s), first + MAX_RANGE) - 1
        waited = now_unix_s - clock.close_unix_s(last)
        books: list[Contents] = []
        listed = set(self._listed_segments)
        mintable = 0
        for epoch in range(first, last + 1):
            snapshot = self.follower.snapshot(epoch)
            if snapshot is None:
                break
            mintable += sum(to_ints(snapshot[1].pools["budget"]))
            if books and self.chain.budget(first, epoch) < mintable:
                break  # a range that may mint more than the breaker lets through could never be proposed
            heads = self.peers.heads(epoch, self.network.id)
            if len(heads) < len(self.peers) and waited < clock.attempt_seconds // PATIENCE:
                break
            contents = self._contents(epoch, self._sound(epoch, heads), listed, snapshot)
            self._bring_home(contents)
            listed.update(ref.sha for ref in contents.segments)
            books.append(contents)
        if not books:
            return
        for contents in books:
            self.archive.put(f"book/{hash_json(contents).hex()}.json", encode(contents))
        hashes = [hash_json(contents) for contents in books]
        self.chain.open(first, first + len(books) - 1, view.current_attempt, hashes, books[-1].snapshot.block)
        log.info("epochs %d..%d: opened, attempt %d", first, first + len(books) - 1, view.current_attempt)

    def _sound(self, epoch: int, heads: Mapping[bytes, Head]) -> dict[bytes, Head]:
        """The heads of staked verifiers whose segments can be had and read: one that names what nobody holds must not stop the epoch."""
        weights, _ = self.chain.weights(list(heads), epoch)
        sound = {}
        for (verifier, head), weight in zip(heads.items(), weights, strict=True):
            try:
                if not weight or any(ref.verifier != verifier for ref in head.segments):
                    raise BookRefused("it is not staked, or lists what it did not take in itself")
                for ref in head.segments:
                    self.peers.fetch(segment_path(ref), ref.sha, self.archive)
                    read_segment(self.archive, ref, self._schema(ref))
                for sha in head.lines:
                    self.peers.fetch(f"lines/{sha.hex()}.parquet", sha, self.archive)
                    read_lines(self.archive, sha)
                sound[verifier] = head
            except (ArchiveError, BookRefused) as error:
                log.warning("epoch %d: the head of %r is left out: %s", epoch, head.verifier, error)
        return sound

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

    def _work_on(self, view: SettlementView, opened: Opened) -> None:
        """Settle what was opened, sign it, and propose it once enough others signed the same."""
        settled = self._settle(view, opened)
        digest = Hash(epoch_root_digest(settled.message, self.network.chain_id, self.network.contracts.settlement))
        if self.journal.vote(opened.first, opened.attempt, 0) is None:
            self._publish(settled)
            self.journal.keep_vote(Vote(opened.first, opened.attempt, 0, digest, self.me.address, self.me.sign_digest(digest)))
            log.info("epochs %d..%d: signed %r", opened.first, opened.last, digest)
        if self.chain.lead(opened.first + opened.attempt) != self.me.address:
            return
        votes = [vote for vote in self.peers.votes(opened.first, opened.attempt, 0) if vote.digest == digest]
        weights, all_weights = self.chain.weights([vote.signer for vote in votes], opened.weight_epoch)
        if 3 * sum(weights) >= 2 * all_weights > 0:
            counted = [(vote.signer, vote.signature) for vote, weight in zip(votes, weights, strict=True) if weight]
            self.chain.propose(settled.message, counted)
            log.info("epochs %d..%d: proposed with %d signatures", opened.first, opened.last, len(counted))

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
            kinds = [rules_for(read_policy(self.archive, read_contents(self.archive, each).policy)) for each in book_hashes]
            books = [load_book(self.archive, each, rules) for each, rules in zip(book_hashes, kinds, strict=True)]
            settlements = settle_range(books, self._state(view.state_root), kinds, self._blocks.map)
            self._settled[book_hashes] = Settled(epoch_root(settlements, books, view.root, view.state_root, opened.attempt), settlements)
        settled = self._settled[book_hashes]
        return Settled(replace(settled.message, attempt=opened.attempt), settled.settlements)

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
            if any(ref.verifier != head.verifier for ref in head.segments):
                raise BookRefused(f"epoch {epoch}: the head of {head.verifier!r} lists what it did not take in itself")
        if not all(self.chain.weights([head.verifier for head in heads], epoch)[0]):
            raise BookRefused(f"epoch {epoch}: a head comes from an account that is no verifier: {[head.verifier for head in heads]}")
        expected = self._contents(epoch, {head.verifier: head for head in heads}, listed, snapshot)
        if expected != contents:
            different = [name for name in Contents.__struct_fields__ if getattr(expected, name) != getattr(contents, name)]
            raise BookRefused(f"epoch {epoch}: the lead's Book differs from what its heads and the chain say in {different}")

    def _publish(self, settled: Settled) -> None:
        """Everything that anyone needs to recompute or claim, in the archive before the vote is cast."""
        for settlement in settled.settlements:
            write_state(self.archive, settlement.state)
        write_tables(self.archive, "verdicts", verdict_tables(settled.settlements))

    def _finalize(self, view: SettlementView, opened: Opened, pending: Pending, now_unix_s: int) -> None:
        """When the challenge window is over: the lead, and after a while anyone."""
        deadline = pending.deadline_unix_s
        if view.block.timestamp >= deadline and self._is_mine(opened.first + opened.attempt, deadline, now_unix_s):
            self.chain.finalize(self._settle(view, opened).message)
            log.info("epochs %d..%d: final", opened.first, opened.last)

    def _pay_out(self, now_unix_s: int) -> None:
        """Send everyone what the last final root owes them: senders pay gas, so that owners need none.

        Done when nobody is owed anything at a block that is final, so that a chain that lost the payments is asked again.
        """
        final = self._finals[-1] if self._finals else None
        if final is None or self._paid_out == final.last or not self._is_mine(final.first + final.attempt, final.unix_s, now_unix_s):
            return
        state = self._state(final.state_root)
        accounts = state.accounts["account"].to_list()[:MOST_CLAIMS]
        totals = zip(accounts, to_ints(state.accounts["rewards"]), to_ints(state.accounts["fees"]), strict=False)
        taken = self.chain.taken_many(accounts)
        leaves = list(zip(totals, taken, strict=True))
        rewards = [(row, leaf) for row, (leaf, took) in enumerate(leaves) if took[0] < leaf[1]]
        fees = [(row, leaf) for row, (leaf, took) in enumerate(leaves) if took[1] < leaf[2]]
        if not rewards and not fees:
            self._paid_out = final.last if self.chain.taken_many(accounts, "finalized") == taken else self._paid_out
            return
        tree = payout_tree(state)
        # Each currency by itself: a frozen stablecoin must not block rewards.
        for claim, owed in ((self.chain.claim_many, rewards), (self.chain.claim_fees_many, fees)):
            for at in range(0, len(owed), CLAIM_BATCH):
                batch = owed[at : at + CLAIM_BATCH]
                claim([leaf for _, leaf in batch], tree.multiproof([row for row, _ in batch]))
                log.info("epochs up to %d: paid %d accounts", final.last, len(batch))

    def _is_mine(self, turn: int, since_unix_s: int, now_unix_s: int) -> bool:
        """The lead's to do; anyone's once the lead let a quarter of a turn pass."""
        waited = now_unix_s - since_unix_s
        return waited > self.network.clock.attempt_seconds // PATIENCE or self.chain.lead(turn) == self.me.address


def book_order(ref: SegmentRef) -> tuple[bytes, int, str]:
    """Segments count as listed by verifier, then by place in its log: no lead can choose which of two conflicting Entries is first."""
    return (ref.verifier, ref.position, ref.schema)
