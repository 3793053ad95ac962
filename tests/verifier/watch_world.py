"""A town whose Books carry signed heads, as verifiers make them, stopped wherever a test wants to look; some of its verifiers lie."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec

from subak.archive.books import load_book, read_before, read_policy, write_state
from subak.archive.tables import write_tables
from subak.chain.accounts import Account
from subak.chain.challenges import Challenges
from subak.chain.contracts import Sender
from subak.chain.deploy import contract
from subak.chain.settlement import Settlement as Chain
from subak.chain.settlement import SettlementView
from subak.chain.stake import Stake
from subak.core.canon.ids import commitment
from subak.core.canon.json import encode, hash_json
from subak.core.canon.typed_data import EpochRoot, result_hash, vote_digest
from subak.core.nouns import Contents, Hash, Head, SegmentRef, Settlement, Vote
from subak.core.nouns.document import Signature
from subak.core.settlement import epoch_root, settle_range, verdict_tables
from subak.kinds.energy.rules.schemas import READING
from subak.kinds.registry import rules_for
from subak.verifier.judge import book_order
from subak.verifier.peers import signed_digest
from subak.verifier.watching import Told, Watcher

# The town lives beside the explorer's tests, which need it too.
sys.path.insert(0, str(Path(__file__).parents[1] / "explorer"))
from small_town import EPOCH_S, Lie, Town, Wishes, account, build_town, lie_about_one_home

__all__ = ["EPOCH_S", "READING", "TOKENS", "WATCHER", "Headed", "Lie", "account", "headed", "lie_about_one_home", "watcher"]

WATCHER = account(2000)
TOKENS = 10**22


@dataclass
class Headed(Town):
    """The town, step by step."""

    hides: Sequence[int] = ()
    """Epochs whose readings the first verifier's head leaves out."""
    heals: Mapping[int, int] = field(default_factory=dict)
    """Epoch to an earlier one whose hidden readings its head lists."""
    overlooks: Sequence[int] = ()
    """Epochs in which the lead leaves that head out of the Book."""
    hidden: dict[int, SegmentRef] = field(default_factory=dict)
    """Readings that stand in no Book of their epoch."""
    heads: dict[int, Head] = field(default_factory=dict)
    """The first verifier's, by epoch."""
    book: Contents = field(init=False)
    """What was opened last."""
    message: EpochRoot = field(init=False)
    """What it comes to."""

    def open(self) -> Sequence[Settlement]:
        """Live through the next epoch and open its Book; what it honestly comes to."""
        epoch, clock = self.next_epoch, self.network.clock
        self.go_to(max(self.rpc.block().timestamp + 1, clock.close_unix_s(epoch)))
        for _ in range(3):
            self.chain.mine()
        book = self.book = self._book(epoch)
        view = self.view()
        lead = self.settlement().lead(epoch + view.current_attempt)
        me = next(each for each in self.verifiers if each.address == lead)
        self.settlement(me).open(epoch, epoch, view.current_attempt, [hash_json(book)], book.snapshot.block)
        return self.judged(book)

    def judged(self, book: Contents) -> Sequence[Settlement]:
        view, rules = self.view(), rules_for(read_policy(self.archive, self.policy_hash))
        loaded = [load_book(self.archive, hash_json(book), rules)]
        settled = settle_range(loaded, read_before(self.archive, view.state_root, view.rewards, view.fees), [rules])
        self.message = epoch_root(settled, loaded, view.root, view.state_root)
        return settled

    def tell(self, settled: Sequence[Settlement], message: EpochRoot, signers: Sequence[Account] | None = None) -> None:
        """Publish and propose it in the running round."""
        for each in settled:
            write_state(self.archive, each.state)
        write_tables(self.archive, "verdicts", verdict_tables(settled))
        view = self.view()
        if view.sealed_unix_s:
            self.go_to(view.sealed_unix_s)
        assert view.opened is not None
        round_ = 1 if view.contest else 0
        votes = [self.vote(each, message, view.opened.attempt, round_) for each in signers or self.verifiers]
        self.settlement().propose(message, [(vote.signer, vote.signature) for vote in votes])

    def propose(self, lie: Lie | None = None) -> EpochRoot:
        """Open the next epoch's Book and propose what it comes to, or a lie about it."""
        settled = self.open()
        said, message = lie(settled, self.message) if lie else (settled, self.message)
        self.tell(said, message)
        return message

    def finish(self, message: EpochRoot) -> None:
        """Let the window pass and make it final."""
        pending = self.view().pending
        assert pending is not None
        self.go_to(pending.deadline_unix_s)
        self.settlement().finalize(message)
        self.next_epoch += 1
        # Checkpoints of one second are written over, those of another are new: gas estimates hold only for a block of its own time.
        self.go_to(self.rpc.block().timestamp + 60)

    def vote(self, who: Account, message: EpochRoot, attempt: int, round_: int) -> Vote:
        name = (message.first, attempt, round_, Hash(result_hash(message)))
        digest = vote_digest(*name, self.network.chain_id, self.network.contracts.settlement)
        return Vote(*name, who.address, who.sign_digest(digest))

    def settlement(self, who: Account | None = None) -> Chain:
        return Chain(self.rpc, self.network.contracts, Sender(self.rpc, who) if who else self.sender)

    def challenges(self, who: Account | None = None) -> Challenges:
        return Challenges(self.rpc, self.network.contracts, Sender(self.rpc, who) if who else self.sender)

    def stakes(self) -> list[int]:
        stake = Stake(self.rpc, self.network.contracts)
        return [stake.bond(each.address).stake for each in self.verifiers]

    def view(self) -> SettlementView:
        return self.settlement().view()

    def go_to(self, unix_s: int) -> None:
        if self.rpc.block().timestamp < unix_s:
            self.chain.run_from(unix_s)
            self.chain.freeze()

    def tokens(self, who: Account = WATCHER) -> int:
        return self.challenges().token().balance(who.address)

    def _book(self, epoch: int) -> Contents:
        """As verifiers make it: what the first one's head lists, in the one allowed order."""
        bare = super()._book(epoch)
        segments = list(bare.segments)
        readings = next(ref for ref in segments if ref.schema == READING.name)
        if epoch in self.hides or epoch in self.overlooks:
            self.hidden[epoch] = readings
        if epoch in self.hides:
            segments.remove(readings)
        if epoch in self.heals:
            segments.append(self.hidden[self.heals[epoch]])
        ordered = tuple(sorted(segments, key=book_order))
        head = self.heads[epoch] = self.head(epoch, ordered)
        self.archive.put(f"heads/{hash_json(head).hex()}.json", encode(head))
        brought = () if epoch in self.overlooks else (head,)
        listed = ordered if brought else ()
        book = msgspec.structs.replace(bare, segments=listed, heads=tuple(Hash(hash_json(each)) for each in brought))
        self.archive.put(f"book/{hash_json(book).hex()}.json", encode(book))
        return book

    def head(self, epoch: int, segments: tuple[SegmentRef, ...]) -> Head:
        me = self.verifiers[0]
        reveal = Hash(epoch.to_bytes(32, "big"))
        commit, unsigned = Hash(commitment(reveal)), Signature(bytes(64))
        head = Head(Hash(self.network.id), epoch, me.address, segments, (), commit, reveal, (), unsigned)
        return msgspec.structs.replace(head, signature=me.sign_digest(signed_digest(head)))


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        """Not on standard error."""


@contextmanager
def served(town: Headed) -> Iterator[str]:
    """The town's archive over HTTP: its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(town.archive.root.parent)))
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/{town.archive.root.name}"
    finally:
        server.shutdown()
        server.server_close()


def headed(folder: Path) -> Headed:
    """A town before epoch 0, with a watcher's account that has tokens and gas."""
    built = build_town(folder, homes=(1, 3), wishes=Wishes(tokens={"0x" + WATCHER.address.hex(): TOKENS}))
    built.chain.fund(WATCHER.address, 10**21)
    contracts = built.network.contracts
    for each in built.verifiers:
        # More than the least bond, so that who is punished stays.
        mine = Sender(built.rpc, each)
        mine.send(contract(built.rpc, contracts, "Token"), "approve", contracts.stake, 5 * 10**21)
        Stake(built.rpc, contracts, mine).add(5 * 10**21)
    return Headed(**vars(built))


def watcher(town: Headed, folder: Path, **options: object) -> tuple[Watcher, list[Told]]:
    heard: list[Told] = []
    return Watcher(town.network, folder, WATCHER, town.rpc, [town.archive], say=heard.append, **options), heard  # type: ignore[arg-type]
