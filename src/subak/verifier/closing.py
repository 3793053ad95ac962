"""An epoch's life, as one verifier lives it: cut, open, settle, seal, vote, propose, finalize, pay; and judge again what was challenged.

Every step looks at what the chain says now and does what is missing, so that a restart, a lost block or a silent lead needs no special
case: whoever's turn it is does the next step, and doing it twice changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from hashlib import sha256
from itertools import islice
from typing import Protocol

import msgspec
import polars as pl

from subak.archive.books import MAX_SEALS, BookRefused, paths_of, read_contents, read_policy, write_state
from subak.archive.log import EntryLog
from subak.archive.segments import read_segment, segment_path, write_segments
from subak.archive.store import ArchiveError, FolderArchive, NotThere
from subak.archive.tables import MANIFEST, read_lines, write_lines, write_tables
from subak.chain.accounts import Account
from subak.chain.settlement import Contest, Opened, Pending, SettlementView
from subak.chain.settlement import Settlement as Chain
from subak.chain.snapshot import Finalised, Follower
from subak.core.canon.ids import commitment, draw_seed, seal_of
from subak.core.canon.json import encode, hash_json
from subak.core.canon.typed_data import vote_digest
from subak.core.kind import Asked
from subak.core.nouns import Contents, Hash, Head, Network, Seal, Vote
from subak.core.nouns.document import Signature
from subak.core.settlement import verdict_tables
from subak.core.settlement.money import to_ints
from subak.core.settlement.roots import payout_tree
from subak.verifier.journal import Journal
from subak.verifier.judge import Judge, Settled
from subak.verifier.peers import Peers, signed_digest
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


class Lines(Protocol):
    """Where a verifier keeps vouchers' lines."""

    def table(self, redeemed: Mapping[bytes, tuple[int, int, bytes]], taken: Mapping[bytes, int]) -> pl.DataFrame:
        """Lines of these lanes' vouchers (lane to seq, total, hash of the lines), without those of which this total was taken already."""


class Closing(Judge):
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
        super().__init__(network, archive, peers, chain, follower)
        self.me, self.entries, self.journal, self.lines = me, entries, journal, lines
        self._uncut = Uncut(entries, network.clock, journal.heads())
        self._paid_out = -1
        self._missed: dict[Hash, Finalised] = {}
        self._asked_after = 0

    def tick(self, now_unix_s: int, served: bool = True) -> None:
        """Do what is due at this network time. ``served``: whether the budget serves this Settlement; if not, nothing becomes final in it
        any more, and all that is left to do is to say what was taken in, for whoever goes on, and to pay out.

        Errors: NotThere, ArchiveError, RpcError, RpcUnreachable, NotMined, ChainForgot and ChainRefused mean "not now": call again.
        BookRefused means that a lead opened what should not be signed; its turn passes.
        """
        self._note_finals()
        self._make_heads(now_unix_s)
        if not served:
            self._pay_out(now_unix_s)
            return
        view = self.chain.view()
        opened = view.opened
        if view.pending is not None and opened is not None:
            self._finalize(view, opened, view.pending, now_unix_s)
        elif view.contest is not None and opened is not None:
            self._judge_again(view, opened, view.contest, now_unix_s)
        elif view.open_now and opened is not None:
            self._work_on(view, opened)
        elif view.next_epoch < self.network.clock.epochs_closed_at(now_unix_s):
            self._open(view, now_unix_s)
        if view.pending is None and view.contest is None:
            self._pay_out(now_unix_s)
        self._catch_up()

    def late_epochs(self) -> int:
        """How late a line may come, as the policy of the newest epoch says; a week if no policy can be had yet."""
        policy_hash = self.follower.policy(MAX_EPOCH)
        try:
            self.peers.fetch(f"policy/{policy_hash.hex()}.json", policy_hash, self.archive)
            return read_policy(self.archive, policy_hash).late_epochs
        except ArchiveError:
            return 7

    def _on_final(self, final: Finalised) -> None:
        self._paid_out = -1
        self._forget(final.last)
        if not self.archive.has(f"verdicts/{final.verdicts_hash.hex()}/{MANIFEST}"):
            self._missed[final.verdicts_hash] = final

    def _catch_up(self) -> None:
        """Bring home what became final while this verifier was away, newest first, a range a tick: whoever reads this archive finds all
        of it, and the others' bytes are in one more place. What nobody has now is asked for again after the next range became final."""
        if not self._missed or self._asked_after == len(self._finals):
            return
        name, final = next(reversed(self._missed.items()))
        try:
            for book_hash in final.book_hashes:
                contents = read_contents(self.archive, book_hash)
                self._bring_home(contents)
                self.peers.fetch_tables("snapshot", contents.snapshot.hash, self.archive)
            self._state(final.state_root)
            self.peers.fetch_tables("verdicts", final.verdicts_hash, self.archive)
        except NotThere as error:
            log.info("epochs %d..%d became final without this verifier, and %s", final.first, final.last, error)
            self._asked_after = len(self._finals)
            return
        del self._missed[name]

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
        head = Head(
            network=Hash(self.network.id),
            epoch=epoch,
            verifier=self.me.address,
            segments=kept + new,
            lines=self._write_lines(epoch),
            commit=Hash(commitment(self._secret(epoch + 1))),
            reveal=self._secret(epoch),
            seals=self._heard_seals(epoch - 1),
            signature=Signature(bytes(64)),
        )
        head = msgspec.structs.replace(head, signature=self.me.sign_digest(signed_digest(head)))
        self.archive.put(f"heads/{hash_json(head).hex()}.json", encode(head))
        self.journal.keep_head(head)
        log.info("epoch %d: brings %d segments, %d new Entries", epoch, len(head.segments), len(fresh))

    def _secret(self, epoch: int) -> Hash:
        """This verifier's share of the beacon: nobody else can know it before the head of the epoch reveals it, and a crash cannot lose
        it."""
        asked = sha256(b"subak/reveal/1" + self.network.id + epoch.to_bytes(8, "big")).digest()
        return Hash(sha256(self.me.sign_digest(asked)).digest())

    def _heard_seals(self, epoch: int) -> tuple[Seal, ...]:
        """Seals of an epoch's Books that came in time; those of the newest Books if there are too many to list."""
        newest = reversed(self.follower.books_of(epoch))
        return tuple(islice((seal for book in newest for seal in self.journal.heard_seals(book)), MAX_SEALS))

    def _write_lines(self, epoch: int) -> tuple[Hash, ...]:
        """Lines of redeemed vouchers that the final state has not taken yet, as far as this verifier has them: of those that the epoch's
        snapshot holds, for what was redeemed since belongs to the next one."""
        redeemed = self.follower.redeemed()
        snapshot = self.follower.snapshot(epoch) if redeemed else None
        if snapshot is not None:
            told = snapshot[1].lanes.select("lane", "seq", pl.col("total").cast(pl.Int128), "lines")
            redeemed = {lane: (seq, total, lines) for lane, seq, total, lines in told.iter_rows()}
        lanes = self._final_state().lanes
        lines = self.lines.table(redeemed, dict(zip(lanes["lane"].to_list(), to_ints(lanes["total"]), strict=True)))
        return (Hash(write_lines(self.archive, lines)),) if len(lines) else ()

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
            heads = self.peers.heads(epoch)
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
                if not weight or any(ref.verifier != verifier for ref in head.segments) or len(head.seals) > MAX_SEALS:
                    raise BookRefused("it is not staked, or lists what it did not take in itself or too many seals")
                for ref in head.segments:
                    self.peers.fetch(segment_path(ref), ref.sha, self.archive)
                    read_segment(self.archive, ref, self._schema(ref))
                for sha in head.lines:
                    self.peers.fetch(f"lines/{sha.hex()}.parquet", sha, self.archive)
                    read_lines(self.archive, sha)
                # Its verifier may never hand it out; who brings nothing would so stop every lead.
                self.archive.put(f"heads/{hash_json(head).hex()}.json", encode(head))
                sound[verifier] = head
            except (ArchiveError, BookRefused) as error:
                log.warning("epoch %d: the head of %r is left out: %s", epoch, head.verifier, error)
        return sound

    def _work_on(self, view: SettlementView, opened: Opened) -> None:
        """Settle what was opened and seal it; once all seals are in, vote, and propose it when enough others voted for the same."""
        settled = self._settle(view, opened)
        self._seal(settled)
        self._hear_seals(settled, view.block.timestamp)
        if view.block.timestamp < view.sealed_unix_s:
            return
        self._vote(settled, opened, 0)
        if self.chain.lead(opened.first + opened.attempt) == self.me.address:
            self._propose(settled, opened, 0)

    def _judge_again(self, view: SettlementView, opened: Opened, contest: Contest, now_unix_s: int) -> None:
        """Somebody bonded that the result is wrong: settle the same Books once more, from the files, and vote in round 1."""
        begun = contest.deadline_unix_s - self.network.clock.reconfirm_seconds
        mine = self._is_mine(opened.first + opened.attempt, begun, now_unix_s)
        if view.block.timestamp >= contest.deadline_unix_s:
            if mine:
                self.chain.reject()
                log.warning("epochs %d..%d: rejected, nobody confirmed the challenged result", opened.first, opened.last)
            return
        if self.journal.vote(opened.first, opened.attempt, 1) is None:
            self._settled.clear()
        settled = self._settle(view, opened)
        self._vote(settled, opened, 1)
        if mine:
            self._propose(settled, opened, 1)

    def _seal(self, settled: Settled) -> None:
        """Commit to the verdicts before anyone publishes them. A Book that is opened again keeps its seal."""
        for book_hash, settlement in zip(settled.message.book_hashes, settled.settlements, strict=True):
            if self.journal.seal(book_hash) is None:
                value = Hash(seal_of(self.me.address, book_hash, settlement.verdicts_hash))
                seal = Seal(Hash(book_hash), self.me.address, value, Signature(bytes(64)))
                seal = self.journal.keep_seal(msgspec.structs.replace(seal, signature=self.me.sign_digest(signed_digest(seal))))
                self.journal.hear_seals([seal])

    def _hear_seals(self, settled: Settled, unix_s: int) -> None:
        """Note who sealed in time; the time of a Book begins when it is opened first, for after that its verdicts become known."""
        for book_hash in settled.message.book_hashes:
            if unix_s <= self.follower.opened_unix_s(book_hash) + self.network.clock.seal_seconds:
                self.journal.hear_seals(self.peers.seals(book_hash))

    def _vote(self, settled: Settled, opened: Opened, round_: int) -> None:
        """Say what the range comes to: on disk first, then to whoever asks. What others say is kept too, to prove contradictions."""
        if self.journal.vote(opened.first, opened.attempt, round_) is None:
            self._require_copies(settled.message.book_hashes)
            self._publish(settled)
            name = (opened.first, opened.attempt, round_, settled.result)
            digest = vote_digest(*name, self.network.chain_id, self.network.contracts.settlement)
            self.journal.keep_vote(Vote(*name, self.me.address, self.me.sign_digest(digest)))
            log.info("epochs %d..%d: voted for %r in round %d", opened.first, opened.last, settled.result, round_)
        self.journal.hear_votes(self.peers.votes(opened.first, opened.attempt, round_))

    def _propose(self, settled: Settled, opened: Opened, round_: int) -> None:
        """Bring the votes to the chain, if two thirds of the weight say the same."""
        heard = self.journal.heard_votes(opened.first, opened.attempt, round_)
        votes = [vote for vote in heard if vote.result == settled.result]
        weights, all_weights = self.chain.weights([vote.signer for vote in votes], opened.weight_epoch)
        if 3 * sum(weights) >= 2 * all_weights > 0:
            counted = [(vote.signer, vote.signature) for vote, weight in zip(votes, weights, strict=True) if weight]
            self.chain.propose(settled.message, counted)
            log.info("epochs %d..%d: proposed with %d signatures, round %d", opened.first, opened.last, len(counted), round_)

    def _require_copies(self, book_hashes: Sequence[bytes]) -> None:
        """Every byte that a Book names is in two places: whoever contests the result can have it. Errors: NotThere."""
        for book_hash in book_hashes:
            self.peers.require_copies(f"book/{book_hash.hex()}.json")
            for path, _ in paths_of(read_contents(self.archive, book_hash)):
                self.peers.require_copies(path)

    def _publish(self, settled: Settled) -> None:
        """Everything that anyone needs to recompute or claim, in the archive before the vote is cast."""
        for settlement in settled.settlements:
            write_state(self.archive, settlement.state)
        write_tables(self.archive, "verdicts", verdict_tables(settled.settlements))

    def _finalize(self, view: SettlementView, opened: Opened, pending: Pending, now_unix_s: int) -> None:
        """When the challenge window is over: the lead, and after a while anyone."""
        deadline = pending.deadline_unix_s
        if view.block.timestamp < deadline or not self._is_mine(opened.first + opened.attempt, deadline, now_unix_s):
            return
        settled = self._settle(view, opened)
        if settled.result != pending.result:
            # Whoever has the standing result's words can make it final; this verifier stands by its own.
            log.error("epochs %d..%d: %r stands, and %r is what comes out here", opened.first, opened.last, pending.result, settled.result)
            return
        self.chain.finalize(settled.message)
        log.info("epochs %d..%d: final", opened.first, opened.last)

    def _pay_out(self, now_unix_s: int) -> None:
        """Send everyone what the last final root owes them: senders pay gas, so that owners need none.

        Done when nobody is owed anything at a block that is final, so that a chain that lost the payments is asked again.
        """
        final = self._finals[-1] if self._finals else None
        if final is None or final.settlement != self.network.contracts.settlement:
            return
        if self._paid_out == final.last or not self._is_mine(final.first + final.attempt, final.unix_s, now_unix_s):
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
