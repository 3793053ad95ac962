"""Disks that want to be paid for what they do not keep, by a customer who signs every bill."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

from subak.kinds.storage import kind
from subak.kinds.storage.rules.judge import leaf_of
from subak.kinds.storage.rules.schemas import ANSWER, PARAMETERS, SET, TASKS_PER_DAY
from subak.kinds.storage.rules.tree import EMPTY, LEAF_BYTES, PIECE_BYTES, PIECE_DEPTH, PIECE_KIB, PIECE_LEAVES, SetTree, piece_levels
from subak.lab.attacks.bots import Outcome
from subak.lab.attacks.world import HOUR_S, Asset, Lane, Moment, Said, Speak, World, fees_of, offer

GENESIS_UNIX_S: Final = 1_500_000_000 // HOUR_S * HOUR_S
EPOCHS: Final = 13
"""Hours: one in which sets are signed, and half a day."""
PRICE: Final = 2
"""Units that a customer pays for a KiB-hour."""
KEEPING: Final = 1
"""Units that keeping a KiB for an hour costs the host: half of the price."""
PIECES: Final = 8
KIB: Final = PIECES * PIECE_KIB
TASKS: Final = -(-PARAMETERS[TASKS_PER_DAY] // 24)
"""Questions in an hour."""
DISK: Final = (EPOCHS - 1) * KIB * KEEPING
"""What keeping the whole set meanwhile costs."""

Proof = tuple[bytes, list[bytes]]
NO_LEAF: Final = bytes(LEAF_BYTES)


class Pieces:
    """A set of pieces in slots, and the proofs that they are there."""

    def __init__(self, names: Sequence[str]) -> None:
        """A slot without a name is empty."""
        self.names = names
        self.tree = SetTree([_levels(name)[-1][0] if name else EMPTY for name in names])

    def proof(self, index: int) -> Proof:
        """Leaf and path."""
        name = self.names[index // PIECE_LEAVES]
        at = index % PIECE_LEAVES * LEAF_BYTES
        return (_piece(name)[at : at + LEAF_BYTES] if name else NO_LEAF), self.tree.path_of(index, _levels(name) if name else None)


Show = Callable[[int, Moment], Proof | None]
"""What a host answers when it is asked for a leaf; None if it says nothing."""


@dataclass(frozen=True)
class Host:
    """A disk as it presents itself."""

    name: str
    signed: Pieces
    """The set that it signed."""
    show: Show
    owner: str = ""
    rated_kib: int = KIB

    @property
    def asset(self) -> Asset:
        return Asset(self.name, kind.rules.name, self.rated_kib, self.owner)

    def speak(self, moment: Moment) -> Iterable[Said]:
        """The set and the offer first, then answers."""
        asset, slots = self.asset, len(self.signed.names)
        if moment.epoch == 0:
            yield Said(asset, SET, 1, moment.first_unix_s + 60, 0, ((self.signed.tree.root, slots),))
            yield offer(asset, 2, moment.first_unix_s + 60, PRICE, 1)
            return
        asked = [(task, self.show(leaf_of(moment.seed, asset.id, task, slots), moment)) for task in range(TASKS)]
        rows = tuple((moment.epoch, task, proof[0], b"".join(proof[1]).ljust(1024, b"\0")) for task, proof in asked if proof)
        if rows:
            yield Said(asset, ANSWER, 10 + moment.epoch, moment.first_unix_s + 600, 1, rows)


def placed(number: int) -> Pieces:
    """The set that the customer placed at a host, coded: every host has other pieces."""
    return Pieces([f"host {number}, piece {slot}" for slot in range(PIECES)])


def keeps(pieces: Pieces) -> Show:
    """Answers whatever it is asked."""
    return lambda index, moment: pieces.proof(index)


def bills(asset: Asset, kib: int) -> Callable[[int], list[Lane]]:
    """A customer who pays for so many KiB in every hour, whatever he gets."""

    def lanes(epoch: int) -> list[Lane]:
        total = epoch * kib * PRICE
        return [Lane(f"customer of {asset.name}", {asset: total}, epoch, total)] if epoch else []

    return lanes


def play(hosts: Sequence[Host], speak: Sequence[Speak] = ()) -> tuple[int, dict[str, int]]:
    """What these hosts get for half a day from customers who sign every bill for eight pieces, and the reasons of their lines."""
    world = World([host.asset for host in hosts], {kind.rules.name: kind.rules}, HOUR_S, GENESIS_UNIX_S)
    each = [bills(host.asset, KIB) for host in hosts]
    settled = world.play(EPOCHS, speak or [host.speak for host in hosts], lambda epoch: [lane for one in each for lane in one(epoch)])
    reasons: dict[str, int] = {}
    for host in hosts:
        for reason, count in world.reasons(settled, host.asset).items():
            reasons[reason] = reasons.get(reason, 0) + count
    return fees_of(settled[-1].state, *{host.owner or host.name for host in hosts}), reasons


@cache
def honest(hosts: int = 1) -> tuple[int, dict[str, int]]:
    """Hosts that keep what they signed."""
    return play([Host(f"disk {number}", placed(number), keeps(placed(number)), "operator") for number in range(hosts)])


def instead(show: Show, keeping: int, signed: Pieces | None = None, rated_kib: int = KIB) -> Outcome:
    """A host that answers otherwise, and pays ``keeping`` for what it keeps."""
    host = Host("disk 0", signed or placed(0), show, "operator", rated_kib)
    return _outcome([host], keeping)


def _outcome(hosts: Sequence[Host], keeping: int, speak: Sequence[Speak] = ()) -> Outcome:
    usual, reasons = honest(len(hosts))
    earned, found = play(hosts, speak)
    new = {reason: count for reason, count in found.items() if reason not in reasons}
    return Outcome(usual, earned, keeping - len(hosts) * DISK, new)


def never_stored() -> Outcome:
    """Kept the hashes and no leaf."""
    return instead(lambda index, moment: (NO_LEAF, placed(0).proof(index)[1]), 0)


def lost_a_piece() -> Outcome:
    """Deleted one piece of eight and says nothing when it is asked for it."""
    return instead(lambda index, moment: None if index < PIECE_LEAVES else placed(0).proof(index), DISK * (PIECES - 1) // PIECES)


def lost_a_hundredth() -> Outcome:
    """Deleted every hundredth leaf and says nothing when it is asked for one."""
    return instead(lambda index, moment: None if index % 100 == 0 else placed(0).proof(index), DISK * 99 // 100)


def says_it_was_empty() -> Outcome:
    """Deleted one piece of eight and calls its slot empty."""

    def show(index: int, moment: Moment) -> Proof:
        leaf, path = placed(0).proof(index)
        return (NO_LEAF, [EMPTY] * PIECE_DEPTH + path[PIECE_DEPTH:]) if index < PIECE_LEAVES else (leaf, path)

    return instead(show, DISK * (PIECES - 1) // PIECES)


def keeps_old_answers() -> Outcome:
    """Keeps what it was asked first, and gives it as the answer to whatever comes."""
    first: list[Proof] = []

    def show(index: int, moment: Moment) -> Proof:
        if moment.epoch == 1:
            first.append(placed(0).proof(index))
        return first[index % len(first)]

    return instead(show, KIB * KEEPING)


def asks_the_neighbour() -> Outcome:
    """Two disks of one operator with the same set: one answers, the other hands in copies of its answers."""
    one = Host("disk 0", placed(0), keeps(placed(0)), "operator")
    other = replace(one, name="disk 1")

    def copies(moment: Moment) -> Iterable[Said]:
        if moment.epoch == 0:
            return other.speak(moment)
        return [replace(each, asset=other.asset) for each in one.speak(moment)]

    return _outcome([one, other], DISK, [one.speak, copies])


def one_copy_for_two(coded: bool) -> Outcome:
    """Two disks of one operator, and only the first has anything in it. Both answer from there: plain copies have the same bytes, of a
    coded file every disk has others."""
    one = Host("disk 0", placed(0), keeps(placed(0)), "operator")
    other = Host("disk 1", placed(1) if coded else placed(0), keeps(placed(0)), "operator")
    return _outcome([one, other], DISK)


def sleeps() -> Outcome:
    """Switches off for four hours, and pays nothing for keeping meanwhile."""
    return instead(lambda index, moment: None if 8 <= moment.epoch < 12 else placed(0).proof(index), DISK - 4 * KIB * KEEPING)


def answers_late() -> Outcome:
    """Keeps everything on tape for half the cost, and answers when the Book is closed."""
    host, before = Host("disk 0", placed(0), keeps(placed(0)), "operator"), list[Moment]()

    def speak(moment: Moment) -> Iterable[Said]:
        asked, before[:] = before[:], [moment]
        return [replace(each, start_unix_s=moment.first_unix_s + 60) for each in host.speak(asked[0])] if asked else []

    return _outcome([host], DISK // 2, [speak])


def suits_the_question() -> Outcome:
    """Keeps one piece. Each hour, when the questions are known, it signs the set that it could answer for."""
    signed, has = placed(0), Pieces(placed(0).names[:1])
    host = Host("disk 0", signed, lambda index, moment: has.proof(index % PIECE_LEAVES), "operator")

    def speak(moment: Moment) -> Iterable[Said]:
        said = list(host.speak(moment))
        if not moment.epoch:
            return said
        # The customer's root again at the end, for the next hour.
        words = [(has, 300), (signed, 3000)]
        again = [
            Said(host.asset, SET, 100 * moment.epoch + at, moment.first_unix_s + at, 0, ((pieces.tree.root, len(pieces.names)),))
            for pieces, at in words
        ]
        return [*again, *said]

    return _outcome([host], DISK // PIECES, [speak])


def over_capacity() -> Outcome:
    """A disk of eight pieces signs a set of sixteen, and answers for it from what it could regenerate."""
    large = Pieces([*placed(0).names, *placed(1).names])
    return instead(keeps(large), DISK, large)


def holes() -> Outcome:
    """A set of 64 slots of which eight hold something; every answer is right."""
    sparse = Pieces([*placed(0).names, *[""] * 56])
    return instead(keeps(sparse), DISK, sparse, 64 * PIECE_KIB)


@cache
def _piece(name: str) -> bytes:
    return hashlib.shake_256(name.encode()).digest(PIECE_BYTES)


@cache
def _levels(name: str) -> list[list[bytes]]:
    return piece_levels(_piece(name))
