"""Verifiers that want to be paid without checking, or for more than they have at stake. The chain's part, signatures of heads and seals,
is left out: the settlement judges what they hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from typing import Any, Final

from subak.core.canon.ids import commitment, seal_of
from subak.core.nouns import Address, Hash, Head, Seal, Settlement
from subak.core.nouns.document import Signature
from subak.core.settlement.duties import CAP_FROM, CAP_PART, POOL
from subak.lab.attacks.bots import Outcome
from subak.lab.attacks.energy import homes, honest_meter, hourly, says, world
from subak.lab.attacks.world import NETWORK, account, rewards_of
from subak.lab.recording import june_2017

EPOCHS: Final = 5
"""Days; from the second one on seals are paid."""
POT: Final = 1_000_000
"""What the pool mints for verifiers in a day."""
JUDGING: Final = 25_000
"""Units that settling a day costs a verifier."""
BOT: Final = "bot"
UNSIGNED: Final = Signature(bytes(64))


@dataclass(frozen=True)
class Verifier:
    """What a verifier brings, and how it does its duties."""

    name: str
    stake: int
    owner: str = ""
    copies: str = ""
    """Whose seal it gives out as its own; its own if empty."""
    late: bool = False
    """It seals when the votes are out: honest verifiers do not list that."""
    admits_late: bool = False
    """It lists late seals too."""
    omits: tuple[str, ...] = ()
    """Whose seals it does not list."""
    reveals: bool = True


def weights(verifiers: Sequence[Verifier]) -> Mapping[str, tuple[str, int]]:
    """What Stake makes of their bonds: from ``CAP_FROM`` on nobody weighs more than a ``CAP_PART``-th of all."""
    most = sum(each.stake for each in verifiers)
    cap = most // CAP_PART if len(verifiers) >= CAP_FROM else most
    return {each.name: (each.owner or each.name, min(each.stake, cap)) for each in verifiers}


def heads_of(verifiers: Sequence[Verifier]) -> Callable[[Sequence[Settlement]], list[Head]]:
    """What they say at the close of each epoch: seals of the Book before as they came in, the old secret, and a word on the next."""

    def seal(each: Verifier, last: Settlement) -> Seal:
        _, book, verdicts = last.state.sealed.row(0)
        whose = each.copies or each.name
        found = Hash(seal_of(account(whose), book, verdicts))
        return Seal(Hash(book), Address(account(each.name)), found, UNSIGNED)

    def heads(settled: Sequence[Settlement]) -> list[Head]:
        epoch = len(settled)
        return [
            Head(
                network=NETWORK,
                epoch=epoch,
                verifier=Address(account(each.name)),
                segments=(),
                lines=(),
                commit=Hash(commitment(_secret(each, epoch + 1))),
                reveal=Hash(_secret(each, epoch) if each.reveals else bytes(32)),
                seals=tuple(
                    seal(other, last)
                    for last in settled[-1:]
                    for other in verifiers
                    if (not other.late or each.admits_late) and other.name not in each.omits
                ),
                signature=UNSIGNED,
            )
            for each in verifiers
        ]

    return heads


@cache
def paid(verifiers: tuple[Verifier, ...]) -> int:
    """What the bot's accounts earn in ``EPOCHS`` days."""
    home, lines = homes()[0], hourly(honest_meter(june_2017().homes[0]))
    there = replace(world([home]), budgets={POOL: POT}, verifiers=weights(verifiers))
    return rewards_of(there.play(EPOCHS, [says(home, lines)], heads=heads_of(verifiers))[-1].state, BOT)


def peers(count: int, stake: int = 20) -> tuple[Verifier, ...]:
    """Honest verifiers."""
    return tuple(Verifier(f"peer {number}", stake) for number in range(count))


def bot(stake: int = 20, identities: int = 1, **does: Any) -> tuple[Verifier, ...]:
    """One person's verifiers, who share the stake."""
    return tuple(Verifier(f"{BOT} {number}", stake // identities, BOT, **does) for number in range(identities))


def instead(honest: tuple[Verifier, ...], cheat: tuple[Verifier, ...], others: tuple[Verifier, ...], cost: int = 0) -> Outcome:
    """The bot's verifiers among others, honest and not."""
    return Outcome(paid((*others, *honest)), paid((*others, *cheat)), cost)


def copied_seal() -> Outcome:
    """Gives out a peer's seal as its own, and judges nothing."""
    return instead(bot(), bot(copies="peer 0"), peers(3), -JUDGING * EPOCHS)


def sealed_late() -> Outcome:
    """Waits for the others' votes, and seals what they voted for."""
    return instead(bot(), bot(late=True), peers(3), -JUDGING * EPOCHS)


def late_together() -> Outcome:
    """Three of seven seal late, and list each other's late seals."""
    return instead(bot(60, 3), bot(60, 3, late=True, admits_late=True), peers(4), -3 * JUDGING * EPOCHS)


def rivals_struck() -> Outcome:
    """Three of seven do not list the others' seals."""
    others = peers(4)
    return instead(bot(60, 3), bot(60, 3, omits=tuple(each.name for each in others)), others)


def reveal_withheld() -> Outcome:
    """Keeps its secret, so that the draw is another one; the block after the opening decides it anyway."""
    return instead(bot(), bot(reveals=False), peers(3))


def one_judgement_for_two() -> Outcome:
    """Two verifiers judge once between them."""
    return instead(bot(40, 2), bot(40, 2), peers(3), -JUDGING * EPOCHS)


def split_below_the_cap() -> Outcome:
    """Two identities with half the stake each, where the cap binds nobody."""
    return instead(bot(20, 1), bot(20, 2), peers(6))


def split_above_the_cap() -> Outcome:
    """Four identities where the cap would bind one: 40 beside three times 10."""
    return instead(bot(40, 1), bot(40, 4), peers(3, 10))


def capping_a_rival() -> Outcome:
    """Three identities of 1,000 instead of one of 3,000 beside a rival of 100,000: from four verifiers on the rival is capped."""
    return instead(bot(3000, 1), bot(3000, 3), peers(1, 100_000))


def _secret(verifier: Verifier, epoch: int) -> bytes:
    return sha256(f"secret of {verifier.name} for {epoch}".encode()).digest()
