"""What members do: propose, replay, vote, carry out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from subak.archive.store import HttpArchive, get_checked
from subak.chain.accounts import Account
from subak.chain.contracts import Sender
from subak.chain.governance import Action, Governance, Proposal, ProposalState, Support
from subak.chain.network_file import load_network
from subak.chain.rpc import Receipt, Rpc
from subak.cli.units import Currencies, Currency, NotReadable, address, currencies, hexed, short, table, tell, when
from subak.core.canon.json import encode
from subak.core.nouns import Network, Policy, decode
from subak.verifier.replaying import Change, Replay, as_document
from subak.verifier.replaying import replay as settle_again


class CannotVote(ValueError):
    """Something that cannot be decided as things are; the text says why and what to do."""


@dataclass(frozen=True)
class _Door:
    """Everything that one command needs."""

    network: Network
    rpc: Rpc
    governance: Governance
    money: Currencies
    account: Account | None = None

    def proposal(self, number: int) -> Proposal:
        try:
            return self.governance.proposal(number)
        except LookupError as error:
            raise CannotVote(f"{error}; `subak proposal list` names them") from error


def run_list(network_file: Path, json: bool) -> int:
    """All proposals."""
    door = _open(network_file)
    every = door.governance.proposals()
    rows = [(str(each.number), each.state.name.lower(), when(each.vote_end_unix_s), _title(each)) for each in every]
    words = table(("no", "state", "vote ends", "what"), rows) if rows else "nothing was proposed yet"
    tell(json, {"proposals": [_facts(door, each) for each in every]}, words)
    return 0


def run_show(network_file: Path, number: int, json: bool) -> int:
    """One proposal."""
    door = _open(network_file)
    found = door.proposal(number)
    token = door.money.token
    lines = [f"{number}: {found.description}", f"by {hexed(found.proposer)}: {found.state.name.lower()}"]
    lines += [f"  {door.governance.words(action)}" for action in found.actions]
    lines.append(f"votes as of {when(found.vote_start_unix_s)}, until {when(found.vote_end_unix_s)}")
    lines.append(
        f"for {token.words(found.votes_for)}, against {token.words(found.votes_against)}, abstain {token.words(found.votes_abstain)}, "
        f"quorum {token.words(found.quorum)}"
    )
    if found.eta_unix_s:
        lines.append(f"can be executed from {when(found.eta_unix_s)}")
    tell(json, _facts(door, found), "\n".join(lines))
    return 0


def run_replay(
    network_file: Path, number: int, archive_url: str, epochs: int, policy_file: Path | None, out: Path | None, json: bool
) -> int:
    """The last epochs under a proposal."""
    door = _open(network_file)
    found = door.proposal(number)
    archive = HttpArchive(archive_url)
    proposed, weights = door.governance.policy_of(found), door.governance.weights_of(found)
    if proposed is None and weights is None:
        raise CannotVote(f"proposal {number} changes neither policy nor pool weights: there is nothing to settle again")
    policy = None
    if proposed is not None:
        wanted = proposed[1]
        raw = policy_file.read_bytes() if policy_file else get_checked(archive, f"policy/{wanted.hex()}.json", wanted)
        if hashlib.sha256(raw).digest() != wanted:
            raise CannotVote(f"{policy_file} hashes to {hashlib.sha256(raw).hexdigest()}, the proposal names {wanted.hex()}")
        policy = decode(raw, Policy)
    again = settle_again(archive, door.rpc, door.network, epochs, policy, weights[1] if weights else None)
    document = as_document(again, policy, weights[1] if weights else None)
    raw = encode(document)
    told = {"proposal": number, "hash": "0x" + hashlib.sha256(raw).hexdigest(), **document}
    if out is not None:
        out.write_bytes(raw)
    tell(json, told, _replay_words(again, door.money) + (f"\nwritten to {out}" if out else ""))
    return 0


def run_policy(network_file: Path, key: Path, document: Path, from_epoch: int, why: str, json: bool) -> int:
    """A policy."""
    door = _open(network_file, key)
    raw = document.read_bytes()
    if encode(decode(raw, Policy)) != raw:
        raise NotReadable(f"{document} is not in canonical form: write it with `subak policy build`")
    return _propose(door, [door.governance.set_policy(from_epoch, hashlib.sha256(raw).digest())], why, json)


def run_weights(network_file: Path, key: Path, pools: str, from_epoch: int, why: str, json: bool) -> int:
    """Pool weights."""
    door = _open(network_file, key)
    weights: dict[str, int] = {}
    for each in pools.split(","):
        pool, _, bps = each.partition("=")
        if not pool or not bps.isdecimal() or len(bps) > 5:
            raise NotReadable(f"{each!r} is no pool's share: write it as energy=9000,verifiers=1000")
        weights[pool] = int(bps)
    return _propose(door, [door.governance.set_weights(from_epoch, weights)], why, json)


def run_grant(network_file: Path, key: Path, to: str, amount: str, why: str, json: bool) -> int:
    """A payment from the treasury."""
    door = _open(network_file, key)
    sum_ = door.money.payment.parse(amount, "the amount")
    action = door.governance.grant(door.network.contracts.payment, address(to, "the receiver"), sum_, why)
    return _propose(door, [action], why, json)


def run_expel(network_file: Path, key: Path, owner: str, why: str, json: bool) -> int:
    """An end of somebody's verifying."""
    door = _open(network_file, key)
    return _propose(door, [door.governance.expel(address(owner, "the owner"))], why, json)


def run_punish(network_file: Path, key: Path, owner: str, bps: int, evidence: Path, why: str, json: bool) -> int:
    """A part of a stake."""
    door = _open(network_file, key)
    reason = hashlib.sha256(evidence.read_bytes()).digest()
    return _propose(door, [door.governance.punish(address(owner, "the owner"), bps, reason)], why, json)


def run_strike(network_file: Path, key: Path, first: int, attempt: int, slash_bps: int, why: str, json: bool) -> int:
    """An escalated result."""
    door = _open(network_file, key)
    return _propose(door, [door.governance.strike(first, attempt, slash_bps)], why, json)


def run_carry(network_file: Path, key: Path, number: int, step: str, json: bool) -> int:
    """Queue or execute."""
    door = _open(network_file, key)
    found = door.proposal(number)
    wanted = ProposalState.SUCCEEDED if step == "queue" else ProposalState.QUEUED
    if found.state is not wanted:
        raise CannotVote(f"proposal {number} is {found.state.name.lower()}; only a {wanted.name.lower()} one can be {step}d")
    receipt = door.governance.queue(found) if step == "queue" else door.governance.execute(found)
    return _told(door, number, receipt, json)


def run_vote(network_file: Path, key: Path, number: int, say: str, json: bool) -> int:
    """A vote."""
    if say.upper() not in Support.__members__:
        raise NotReadable(f"the vote is {say!r}: write for, against or abstain")
    door = _open(network_file, key)
    found = door.proposal(number)
    if found.state is not ProposalState.ACTIVE:
        times = f"the vote runs from {when(found.vote_start_unix_s)} to {when(found.vote_end_unix_s)}"
        raise CannotVote(f"proposal {number} is {found.state.name.lower()}: {times}")
    return _told(door, number, door.governance.vote(found, Support[say.upper()]), json)


def run_delegate(network_file: Path, key: Path, to: str, json: bool) -> int:
    """Whose votes the account's tokens are."""
    door = _open(network_file, key)
    assert door.account is not None
    whom = address(to, "the delegate") if to else bytes(door.account.address)
    receipt = door.governance.delegate(whom)
    votes = door.governance.votes_of(whom)
    told = {"delegate": hexed(whom), "votes": str(votes), "transaction": hexed(receipt.transaction)}
    tell(json, told, f"{hexed(whom)} votes with {door.money.token.words(votes)}, in votes that begin from now on")
    return 0


def _open(network_file: Path, key: Path | None = None) -> _Door:
    network = load_network(network_file)
    if not any(network.contracts.governor):
        raise CannotVote(f"{network.name} has no governor: {hexed(network.contracts.timelock)} decides")
    rpc = Rpc(network.nodes.rpc)
    account = Account.load(key) if key else None
    governance = Governance(rpc, network.contracts, Sender(rpc, account) if account else None)
    return _Door(network, rpc, governance, currencies(rpc, network), account)


def _propose(door: _Door, actions: Sequence[Action], why: str, json: bool) -> int:
    receipt = door.governance.propose(actions, why)
    return _told(door, len(door.governance.proposals()), receipt, json)


def _told(door: _Door, number: int, receipt: Receipt, json: bool) -> int:
    found = door.proposal(number)
    told = {**_facts(door, found), "transaction": hexed(receipt.transaction)}
    ends = f"votes count as of {when(found.vote_start_unix_s)} and are cast until {when(found.vote_end_unix_s)}"
    tell(json, told, f"proposal {number} is {found.state.name.lower()}; {ends}")
    return 0


def _facts(door: _Door, found: Proposal) -> dict[str, object]:
    token = door.money.token
    return {
        "number": found.number,
        "id": str(found.id),
        "proposer": hexed(found.proposer),
        "description": found.description,
        "actions": [door.governance.words(action) for action in found.actions],
        "state": found.state.name.lower(),
        "vote_start_unix_s": found.vote_start_unix_s,
        "vote_end_unix_s": found.vote_end_unix_s,
        "for": token.told(found.votes_for),
        "against": token.told(found.votes_against),
        "abstain": token.told(found.votes_abstain),
        "quorum": token.told(found.quorum),
        "eta_unix_s": found.eta_unix_s or None,
    }


def _title(found: Proposal) -> str:
    first = found.description.splitlines()[0] if found.description else ""
    return first if len(first) <= 60 else first[:59] + "…"


def _replay_words(again: Replay, money: Currencies) -> str:
    lines = [f"epochs {again.first} to {again.last} settled again: minted {money.token.words(again.minted)}, under it"]
    lines[0] += f" {money.token.words(again.minted_under)}"
    for what, changes in (("account", again.accounts), ("asset", again.assets)):
        changed = [each for each in changes if each.changed]
        gain = sorted(changed, key=lambda each: (each.rewards - each.rewards_under, each.fees - each.fees_under, each.name))
        rows = [_row(each, money.token, money.payment) for each in gain]
        lines.append(f"{len(changed)} of {len(changes)} {what}s would have got something else")
        lines += [table((what, "rewards", "under it", "fees", "under it"), rows, frozenset({1, 2, 3, 4}))] if rows else []
    return "\n".join(lines)


def _row(each: Change, token: Currency, payment: Currency) -> tuple[str, ...]:
    name = hexed(each.name) if len(each.name) == 20 else short(each.name)
    return name, token.plain(each.rewards), token.plain(each.rewards_under), payment.plain(each.fees), payment.plain(each.fees_under)
