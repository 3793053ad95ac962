"""Verifiers that break the rules: each is the real closing, but for what it lies about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from subak.chain.settlement import Contest, Opened, Pending, SettlementView
from subak.core.canon.typed_data import vote_digest
from subak.core.nouns import Hash, Head, Vote
from subak.core.settlement.money import from_ints, to_ints
from subak.core.settlement.roots import payout_tree
from subak.lab.simulator.actors import Character
from subak.lab.simulator.ground import BUDGET
from subak.lab.simulator.sharing import SharingClosing
from subak.verifier.closing import Closing
from subak.verifier.judge import Settled


def richer(settled: Settled, units: int) -> Settled:
    """The same, but the first account has so many token units more."""
    rewards = to_ints(settled.settlements[-1].state.accounts["rewards"])
    if not rewards or not units:
        return settled
    rewards[0] += units
    return _paying(settled, rewards, units)


def shifted(settled: Settled, units: int) -> Settled:
    """The same, but so many token units of the account with most are another one's."""
    rewards = to_ints(settled.settlements[-1].state.accounts["rewards"])
    if len(rewards) < 2:
        return settled
    robbed = rewards.index(max(rewards))
    rewards[robbed] -= units
    rewards[robbed - 1] += units
    return _paying(settled, rewards, 0)


def _paying(settled: Settled, rewards: Sequence[int], units: int) -> Settled:
    """The same, but the accounts have these rewards, so many units more than they should."""
    last = settled.settlements[-1]
    accounts, totals = last.state.accounts, last.state.totals
    minted = to_ints(totals["rewards"])
    minted[0] += units
    state = replace(
        last.state,
        accounts=accounts.with_columns(from_ints(rewards).alias("rewards")),
        totals=totals.with_columns(from_ints(minted).alias("rewards")),
    )
    tree = payout_tree(state)
    false = replace(last, state=state, state_root=state.root(), tree=tree)
    message = replace(settled.message, root=tree.root, state_root=false.state_root, rewards=settled.message.rewards + units)
    return Settled(message, [*settled.settlements[:-1], false])


class Lying(SharingClosing):
    """Gives one account a little more than the Books say. All that lie so say the same."""

    def _settle(self, view: SettlementView, opened: Opened) -> Settled:
        return richer(super()._settle(view, opened), 7)


class Greedy(SharingClosing):
    """Gives one account whatever the budget of the range leaves: what a cartel would do."""

    def _settle(self, view: SettlementView, opened: Opened) -> Settled:
        honest = super()._settle(view, opened)
        return richer(honest, BUDGET * (opened.last - opened.first + 1) - (honest.message.rewards - view.rewards))


class Cowardly(SharingClosing):
    """Lies as long as nobody contests it: in round 1 it judges as it should."""

    def _settle(self, view: SettlementView, opened: Opened) -> Settled:
        again = view.contest is not None or (view.pending is not None and view.pending.round > 0)
        return super()._settle(view, opened) if again else shifted(super()._settle(view, opened), 7)


class Lazy(SharingClosing):
    """Settles nothing: votes for what most others vote for, and seals nothing."""

    def _work_on(self, view: SettlementView, opened: Opened) -> None:
        self._copy(opened, 0)

    def _judge_again(self, view: SettlementView, opened: Opened, contest: Contest, now_unix_s: int) -> None:
        self._copy(opened, 1)

    def _finalize(self, view: SettlementView, opened: Opened, pending: Pending, now_unix_s: int) -> None:
        return

    def _copy(self, opened: Opened, round_: int) -> None:
        seen = self.peers.votes(opened.first, opened.attempt, round_)
        said = Counter(vote.result for vote in seen if vote.signer != self.me.address)
        if said and self.journal.vote(opened.first, opened.attempt, round_) is None:
            result = max(said, key=lambda each: (said[each], each))
            self.journal.keep_vote(_vote(self, opened, round_, result))


class LateSealing(SharingClosing):
    """Waits until others' verdicts are out, and only then settles and seals."""

    def _work_on(self, view: SettlementView, opened: Opened) -> None:
        if view.block.timestamp >= view.sealed_unix_s:
            super()._work_on(view, opened)


class Equivocating(SharingClosing):
    """Votes for the truth, and for something else too."""

    def _vote(self, settled: Settled, opened: Opened, round_: int) -> None:
        super()._vote(settled, opened, round_)
        self.journal.hear_votes([_vote(self, opened, round_, Hash(bytes(31) + b"\x01"))])


class Omitting(SharingClosing):
    """Leaves the first other verifier's head out of the Books that it opens."""

    def _sound(self, epoch: int, heads: Mapping[bytes, Head]) -> dict[bytes, Head]:
        sound = super()._sound(epoch, heads)
        rivals = sorted(verifier for verifier in sound if verifier != self.me.address)
        return {verifier: head for verifier, head in sound.items() if verifier not in rivals[:1]}


class SilentLead(SharingClosing):
    """Votes, but does nothing of what the lead has to do."""

    def _open(self, view: SettlementView, now_unix_s: int) -> None:
        return

    def _propose(self, settled: Settled, opened: Opened, round_: int) -> None:
        return

    def _finalize(self, view: SettlementView, opened: Opened, pending: Pending, now_unix_s: int) -> None:
        return


def _vote(closing: Closing, opened: Opened, round_: int, result: Hash) -> Vote:
    name = (opened.first, opened.attempt, round_, result)
    digest = vote_digest(*name, closing.network.chain_id, closing.network.contracts.settlement)
    return Vote(*name, closing.me.address, closing.me.sign_digest(digest))


CHARACTERS: Mapping[str, Character] = {
    "lying": Character(Lying, honest=False),
    "greedy": Character(Greedy, honest=False),
    "cowardly": Character(Cowardly, honest=False),
    "lazy": Character(Lazy, honest=False),
    "copying": Character(LateSealing, honest=False),
    "equivocating": Character(Equivocating, honest=False),
    "omitting": Character(Omitting, honest=False),
    "silent": Character(SilentLead, honest=False),
    "withholding": Character(SharingClosing, honest=False, withholds=("/archive/entries/",)),
    "hoarding": Character(SharingClosing, honest=False, withholds=("/archive/entries/",), friends="hoarders", yields=True),
    "hiding": Character(SharingClosing, honest=False, withholds=("/archive/", "/v1/votes", "/v1/seals")),
}
"""Who may be cast, by name."""
