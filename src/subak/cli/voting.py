"""What members do: propose, replay, vote, carry out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import msgspec

from subak.archive.store import FolderArchive, HttpArchive, get_checked
from subak.chain import succession
from subak.chain.accounts import Account
from subak.chain.contracts import ChainRefused, Sender
from subak.chain.deploy import contract
from subak.chain.governance import Action, Governance, Proposal, ProposalState, Support
from subak.chain.network_file import load_network
from subak.chain.rpc import Receipt, Rpc
from subak.cli.units import Currencies, Currency, NotReadable, address, currencies, hexed, short, table, tell, when
from subak.core.canon.json import encode, hash_json
from subak.core.nouns import Network, Policy, decode
from subak.core.nouns.document import Address
from subak.verifier.replaying import Change, Document, Replay, as_document, differences, keep, read_kept
from subak.verifier.replaying import replay as settle_again


class CannotVote(ValueError):
    """Something that cannot be decided as things are; the text says why and what to do."""


@dataclass(frozen=True)
class Proposing:
    """What every command that proposes is told."""

    network: Path
    """network.toml"""
    key: Path | None
    """File of the proposer's key; none is needed where nothing is sent."""
    why: str
    """What voters read."""
    calldata: bool
    """Print what an account that signs elsewhere has to send, and send nothing."""
    json: bool
    """For programs."""


@dataclass(frozen=True)
class Replaying:
    """What is replayed, and from what."""

    network: Path
    """network.toml"""
    number: int | None
    """The proposal's; None for a change that nobody proposed yet."""
    archive: str
    """Where the epochs are read: behind HTTP, or in a folder, where the replay is then kept."""
    epochs: int
    """How many go back."""
    policy: Path | None
    """The policy's document."""
    pools: str
    """Shares of the budget, without a number."""
    out: Path | None
    """Where the replay is written too."""
    check: bool
    """Compare the replay that the archive keeps."""

    @cached_property
    def store(self) -> FolderArchive | HttpArchive:
        """The archive. Errors: CannotVote if it is neither an address nor a folder."""
        if self.archive.startswith(("http://", "https://")):
            return HttpArchive(self.archive)
        if not Path(self.archive).is_dir():
            raise CannotVote(f"{self.archive} is neither an address, http://…/archive, nor a folder")
        return FolderArchive(self.archive)


@dataclass(frozen=True)
class _Door:
    """Everything that one command needs."""

    network: Network
    """The network."""
    rpc: Rpc
    """Its chain."""
    governance: Governance
    """How it decides."""
    money: Currencies
    """What amounts are in."""
    account: Account | None = None
    """Who pays for transactions; None if none are sent."""

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


def run_replay(asked: Replaying, json: bool) -> int:
    """The last epochs under a proposal, or under what nobody proposed yet; 1 if a kept replay is not what comes out again."""
    door = _open(asked.network, governed=False)
    found, policy, weights = _change(door, asked)
    kept = _kept(door, asked, found, policy, weights) if asked.check else None
    last, epochs = (kept.last, kept.last - kept.first + 1) if kept else (None, asked.epochs)
    again = settle_again(asked.store, door.rpc, door.network, epochs, policy, weights, last)
    document = as_document(again, door.network, found, policy, weights)
    raw = encode(document)
    told = {"number": asked.number, "hash": hexed(hashlib.sha256(raw).digest()), **msgspec.json.decode(raw)}
    words = [_replay_words(again, door.money)]
    if asked.out is not None:
        asked.out.write_bytes(raw)
        words.append(f"written to {asked.out}")
    if kept is not None:
        differing = differences(kept, document)
        told |= {"same": not differing, "differences": differing}
        what = f"the replay that {asked.store!r} keeps"
        words = [f"{what} is not what comes of it", *(f"  {each}" for each in differing)] if differing else [*words, f"{what} is the same"]
        tell(json, told, "\n".join(words))
        return 1 if differing else 0
    if found is not None and isinstance(asked.store, FolderArchive):
        told["kept"] = keep(asked.store, door.network, found.number, document)
        words.append(f"kept as {told['kept']} in {asked.store!r}")
    tell(json, told, "\n".join(words))
    return 0


def run_policy(asked: Proposing, document: Path, from_epoch: int) -> int:
    """A policy."""
    door = _open_for(asked)
    raw = document.read_bytes()
    if encode(decode(raw, Policy)) != raw:
        raise NotReadable(f"{document} is not in canonical form: write it with `subak policy build`")
    return _propose(door, asked, [door.governance.set_policy(from_epoch, hashlib.sha256(raw).digest())])


def run_weights(asked: Proposing, pools: str, from_epoch: int) -> int:
    """Pool weights."""
    door = _open_for(asked)
    return _propose(door, asked, [door.governance.set_weights(from_epoch, _weights(pools))])


def run_issuer(asked: Proposing, topic: str, issuer: str, remove: bool) -> int:
    """Whose word on a topic counts."""
    door = _open_for(asked)
    whom = address(issuer, "the issuer")
    known = whom in door.governance.issuers_of(topic)
    if known is not remove:
        raise CannotVote(f"{hexed(whom)} {'is' if known else 'is not'} an issuer of {topic!r} as it is: nothing would change")
    return _propose(door, asked, [door.governance.set_issuer(topic, whom, not remove)])


def run_grant(asked: Proposing, to: str, amount: str, of_token: bool) -> int:
    """A payment from the treasury."""
    door = _open_for(asked)
    contracts = door.network.contracts
    if not any(contracts.treasury):
        raise CannotVote(f"{door.network.name} has no treasury: {hexed(contracts.timelock)} pays out of its own")
    asset, money = (contracts.token, door.money.token) if of_token else (contracts.payment, door.money.payment)
    return _propose(door, asked, [door.governance.grant(asset, address(to, "the receiver"), money.parse(amount, "the amount"), asked.why)])


def run_verifiers(asked: Proposing, listed: str) -> int:
    """Who verifies, where nobody stakes."""
    door = _open_for(asked)
    if not door.governance.lists_verifiers():
        raise CannotVote("here stakes decide who verifies: `subak proposal expel` and `subak proposal punish` take somebody off")
    weights: dict[bytes, int] = {}
    for each in listed.split(","):
        signer, _, weight = each.partition("=")
        if not (weight.isascii() and weight.isdecimal()) or not 0 < int(weight) < 1 << 96:
            raise NotReadable(f"{each!r} is no verifier's weight: write all of them as 0x…=1,0x…=1, each above 0")
        weights[address(signer, "the signer")] = int(weight)
    return _propose(door, asked, [door.governance.set_verifiers(weights)])


def run_expel(asked: Proposing, owner: str) -> int:
    """An end of somebody's verifying."""
    door = _open_where_stakes_decide(asked)
    return _propose(door, asked, [door.governance.expel(address(owner, "the owner"))])


def run_punish(asked: Proposing, owner: str, bps: int, evidence: Path) -> int:
    """A part of a stake."""
    door = _open_where_stakes_decide(asked)
    reason = hashlib.sha256(evidence.read_bytes()).digest()
    return _propose(door, asked, [door.governance.punish(address(owner, "the owner"), bps, reason)])


def run_strike(asked: Proposing, first: int, attempt: int, slash_bps: int) -> int:
    """An escalated result."""
    door = _open_for(asked)
    return _propose(door, asked, [door.governance.strike(first, attempt, slash_bps)])


def run_succeed(asked: Proposing, settlement: str) -> int:
    """A new Settlement."""
    door = _open_for(asked)
    rpc, contracts = door.rpc, door.network.contracts
    next_ = msgspec.structs.replace(contracts, settlement=Address(address(settlement, "the new Settlement")))
    if not rpc.code(next_.settlement):
        raise CannotVote(f"there is no contract at {hexed(next_.settlement)} on chain {door.network.chain_id}: deploy it first")
    try:
        next_ = msgspec.structs.replace(next_, challenges=Address(contract(rpc, next_, "Settlement").call("CHALLENGES")))
        succession.require_tied(rpc, msgspec.structs.replace(contracts, settlement=succession.served(rpc, contracts)), next_)
    except (ChainRefused, ValueError) as error:
        raise CannotVote(f"{hexed(next_.settlement)} is no Settlement of Subak: {error}") from error
    return _propose(door, asked, door.governance.succeed(next_.settlement, next_.challenges))


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


def _open(network_file: Path, key: Path | None = None, governed: bool = True) -> _Door:
    network = load_network(network_file)
    rpc = Rpc(network.nodes.rpc)
    # A policy that is set in a Settlement which somebody followed would change nothing.
    network = succession.current(rpc, network)
    account = Account.load(key) if key else None
    governance = Governance(rpc, network.contracts, Sender(rpc, account) if account else None)
    if governed and not governance.votes:
        raise CannotVote(f"a multisig decides here, nobody votes: {hexed(network.contracts.timelock)}")
    return _Door(network, rpc, governance, currencies(rpc, network), account)


def _open_for(asked: Proposing) -> _Door:
    return _open(asked.network, asked.key, governed=False)


def _open_where_stakes_decide(asked: Proposing) -> _Door:
    door = _open_for(asked)
    if door.governance.lists_verifiers():
        raise CannotVote(
            f"here {hexed(door.network.contracts.timelock)} lists who verifies: `subak proposal verifiers` sets the whole list"
        )
    return door


def _weights(pools: str) -> dict[str, int]:
    weights: dict[str, int] = {}
    for each in pools.split(","):
        pool, _, bps = each.partition("=")
        if not pool or not (bps.isascii() and bps.isdecimal()) or len(bps) > 5:
            raise NotReadable(f"{each!r} is no pool's share: write it as energy=9000,verifiers=1000")
        weights[pool] = int(bps)
    return weights


def _change(door: _Door, asked: Replaying) -> tuple[Proposal | None, Policy | None, dict[str, int] | None]:
    """What is replayed: a proposal of the chain, with its policy's document; or what nobody proposed yet."""
    if asked.number is None:
        if asked.check or (asked.policy is None and not asked.pools):
            raise CannotVote("name a proposal; or, for one that nobody made yet, --policy, --pools or both")
        policy = decode(asked.policy.read_bytes(), Policy) if asked.policy else None
        return None, policy, _weights(asked.pools) if asked.pools else None
    if asked.pools:
        raise CannotVote(f"--pools goes without a number: proposal {asked.number} says itself what it changes")
    found = door.proposal(asked.number)
    proposed, weights = door.governance.policy_of(found), door.governance.weights_of(found)
    if proposed is None and weights is None:
        raise CannotVote(f"proposal {asked.number} changes neither policy nor pool weights: there is nothing to settle again")
    policy = None
    if proposed is not None:
        wanted = proposed[1]
        raw = asked.policy.read_bytes() if asked.policy else get_checked(asked.store, f"policy/{wanted.hex()}.json", wanted)
        if hashlib.sha256(raw).digest() != wanted:
            raise CannotVote(f"{asked.policy} hashes to {hashlib.sha256(raw).hexdigest()}, the proposal names {wanted.hex()}")
        policy = decode(raw, Policy)
    return found, policy, weights[1] if weights else None


def _kept(door: _Door, asked: Replaying, found: Proposal | None, policy: Policy | None, weights: dict[str, int] | None) -> Document:
    assert found is not None
    kept = read_kept(asked.store, door.network, found, hash_json(policy) if policy else None, weights, door.rpc)
    if kept is None:
        raise CannotVote(
            f"{asked.store!r} keeps no replay of proposal {found.number}: whoever has its folder runs this with --archive FOLDER"
        )
    return kept


def _propose(door: _Door, asked: Proposing, actions: Sequence[Action]) -> int:
    governance = door.governance
    if asked.calldata or not governance.votes:
        sent = [governance.proposing(actions, asked.why)] if governance.votes else actions
        return _tell_batch(door, asked, actions, sent)
    if door.account is None:
        raise CannotVote("name the account that proposes and pays the gas with --key, or --calldata for one that signs elsewhere")
    receipt = governance.propose(actions, asked.why)
    return _told(door, len(governance.proposals()), receipt, asked.json)


def _tell_batch(door: _Door, asked: Proposing, actions: Sequence[Action], sent: Sequence[Action]) -> int:
    """What an account that signs elsewhere has to send; for programs in the form that Safe's transaction builder loads."""
    does = [door.governance.words(action) for action in actions]
    by = "an account with enough votes" if door.governance.votes else hexed(door.network.contracts.timelock)
    told = {
        "version": "1.0",
        "chainId": str(door.network.chain_id),
        "createdAt": door.rpc.block().timestamp * 1000,
        "meta": {
            "name": asked.why[:120],
            "description": "\n".join(does),
            "createdFromSafeAddress": "" if door.governance.votes else by,
        },
        "transactions": [{"to": hexed(each.target), "value": "0", "data": hexed(each.data)} for each in sent],
    }
    lines = [*does, f"nothing was sent; {by} sends, on chain {door.network.chain_id}:"]
    for each in sent:
        lines += [f"  to {hexed(each.target)}, value 0, data", f"  {hexed(each.data)}"]
    tell(asked.json, told, "\n".join(lines))
    return 0


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
    pools = [
        (
            each.pool,
            money.token.plain(each.minted),
            money.token.plain(each.minted_under),
            _signed(each.minted_under - each.minted, money.token),
        )
        for each in again.pools
    ]
    lines.append(table(("pool", "minted", "under it", "difference"), pools, frozenset({1, 2, 3})))
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


def _signed(amount: int, currency: Currency) -> str:
    return f"{'-' if amount < 0 else '+' if amount else ''}{currency.plain(abs(amount))}"
