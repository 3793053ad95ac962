"""A range of epochs brought by hand to where somebody may doubt it."""

from __future__ import annotations

from collections.abc import Sequence

from subak.chain.accounts import Account
from subak.chain.challenges import Challenges
from subak.chain.contracts import Event, Sender
from subak.chain.settlement import Settlement
from subak.chain.stake import Stake
from subak.core.canon.typed_data import EpochRoot, result_hash, vote_digest
from subak.core.nouns import Hash, Vote

from .conftest import CLOCK, PLAN, VERIFIERS, Town


def settlement(town: Town, who: Sender | None = None) -> Settlement:
    return Settlement(town.rpc, town.contracts, who or town.founder)


def challenges(town: Town, who: Sender | None = None) -> Challenges:
    return Challenges(town.rpc, town.contracts, who or town.founder)


def join(town: Town, amounts: Sequence[int]) -> None:
    """The verifiers put so much at stake."""
    token, stake = town.contract("Token"), town.contract("Stake")
    for verifier, amount in zip(town.verifiers, amounts, strict=True):
        verifier.send(token, "approve", stake.address, amount)
        verifier.send(stake, "join", verifier.address, amount)


def opened(town: Town) -> EpochRoot:
    """The next epoch, opened by its lead; a result that follows."""
    view = settlement(town).view()
    town.go_to(max(CLOCK.close_unix_s(view.next_epoch), town.rpc.block().timestamp + 60))
    first, attempt = view.next_epoch, settlement(town).view().current_attempt
    lead = settlement(town).lead(first + attempt)
    sender = next(each for each in town.verifiers if each.address == lead)
    book = bytes([first + 1, attempt & 0xFF]).rjust(32, b"\xb0")
    settlement(town, sender).open(first, first, attempt, [book], town.rpc.block().number)
    town.go_to(settlement(town).view().sealed_unix_s)
    return EpochRoot(
        *(first, first, bytes(view.root), b"\x01" * 32, bytes(view.state_root), b"\x02" * 32, b"\x03" * 32, b"\x04" * 32),
        *(view.rewards, view.fees, (book,), (PLAN.genesis.policy,)),
    )


def vote(town: Town, who: Account, root: EpochRoot, round_: int) -> Vote:
    view = settlement(town).view()
    assert view.opened is not None
    name = (root.first, view.opened.attempt, round_, Hash(result_hash(root)))
    return Vote(*name, who.address, who.sign_digest(vote_digest(*name, town.plan.chain_id, town.contracts.settlement)))


def propose(town: Town, root: EpochRoot, round_: int = 0, signers: Sequence[Account] = VERIFIERS) -> list[Vote]:
    votes = [vote(town, each, root, round_) for each in signers]
    settlement(town).propose(root, [(each.signer, each.signature) for each in votes])
    return votes


def finish(town: Town, root: EpochRoot) -> None:
    pending = settlement(town).view().pending
    assert pending is not None
    town.go_to(pending.deadline_unix_s)
    settlement(town).finalize(root)
    town.go_to(town.rpc.block().timestamp + 60)


def proposed(town: Town) -> Event:
    return [each for each in settlement(town).events(0, town.rpc.block().number) if each.name == "Proposed"][-1]


def stakes(town: Town) -> list[int]:
    return [Stake(town.rpc, town.contracts).bond(each.address).stake for each in VERIFIERS]
