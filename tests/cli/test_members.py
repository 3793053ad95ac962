"""What members do through the door: propose, vote, carry out; and what a proposal would have done before anyone votes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from subak.chain.abi import abi
from subak.chain.accounts import Account
from subak.chain.contracts import Sender
from subak.chain.deploy import Genesis, contract, create_address, solidity_clock, word_of
from subak.chain.network_file import load_network, write_network
from subak.chain.rpc import Rpc
from subak.chain.seams import BudgetPlan, Existing, SeamPlan, deploy_seams
from subak.chain.snapshot import Follower
from subak.chain.succession import standing
from subak.core.canon.json import encode, hash_json
from subak.core.nouns import Bootstrap, Clock, Contracts, Hash, KindPolicy, Network, Policy, State
from subak.kinds.registry import installed, rules_hash

from .paper import ALICE, CLOCK, FOUNDER, VERIFIER, Paper, door, key_file

DAY = 86_400


class Member:
    """The verifier's owner, who holds tokens, at the door."""

    def __init__(self, paper: Paper) -> None:
        self.paper = paper
        self.who = ("--network", paper.file, "--json")
        self._acts = (*self.who, "--key", key_file(paper.folder, VERIFIER))
        self.words = ("--network", paper.file, "--key", key_file(paper.folder, VERIFIER))

    def ask(self, *words: object) -> dict[str, Any]:
        told: dict[str, Any] = door(*words, *self.who).json()
        return told

    def act(self, *words: object) -> dict[str, Any]:
        told: dict[str, Any] = door(*words, *self._acts).json()
        return told

    def carry(self, number: int) -> dict[str, Any]:
        """Vote for it, and carry it out."""
        self.paper.go_to(self.ask("proposal", "show", number)["vote_start_unix_s"] + 1)
        self.act("vote", number, "for")
        self.paper.go_to(self.ask("proposal", "show", number)["vote_end_unix_s"] + 1)
        queued = self.act("proposal", "queue", number)
        self.paper.go_to(queued["eta_unix_s"] + 1)
        return self.act("proposal", "execute", number)


@pytest.fixture(scope="module")
def member(paper: Paper) -> Member:
    found = Member(paper)
    found.act("delegate")
    paper.go_to(paper.now + 60)
    return found


def epoch_in(member: Member, days: int) -> int:
    return member.paper.network.clock.epoch_at(member.paper.now) + days


def test_a_vote_that_passes_changes_the_policy_from_its_epoch(member: Member, tmp_path: Path) -> None:
    rules = installed()["storage"].rules
    kind = KindPolicy(rules.version, Hash(rules_hash(rules)), {"tasks_per_day": 24}, {})
    policy = Policy(1, 5, {"storage": kind}, Bootstrap(escrow_epochs=0))
    (tmp_path / "policy.json").write_bytes(encode(policy))
    epoch = epoch_in(member, 20)
    made = member.act("proposal", "policy", tmp_path / "policy.json", "--from-epoch", epoch, "--why", "fewer tasks")
    number = made["number"]
    assert made["state"] == "pending"
    assert f"Settlement.setPolicy(fromEpoch {epoch}, policyHash " in str(made["actions"])
    early = door("vote", number, "for", "--network", member.paper.file, "--key", key_file(member.paper.folder, VERIFIER))
    assert early.code == 1
    assert "is pending: the vote runs from" in early.err
    assert member.carry(number)["state"] == "executed"
    follower = Follower(member.paper.rpc, member.paper.network.contracts, member.paper.network.clock)
    assert (follower.policy(epoch - 1), follower.policy(epoch)) == (member.paper.policy, hash_json(policy))


def test_a_vote_changes_the_pools_and_one_that_would_break_a_bound_reverts(member: Member) -> None:
    paper = member.paper
    minter = contract(paper.rpc, paper.network.contracts, "Minter")
    pools, before = minter.call("weights")
    name = pools[0].rstrip(b"\0").decode()
    made = member.act(
        "proposal", "weights", f"{name}={before[0] - 1000},verifiers=1000", "--from-epoch", epoch_in(member, 20), "--why", "pay them"
    )
    member.carry(made["number"])
    assert minter.call("weights")[1] == (before[0] - 1000, 1000)

    wild = member.act("proposal", "weights", f"{name}=1000,verifiers=9000", "--from-epoch", epoch_in(member, 40), "--why", "all to us")
    number = wild["number"]
    with pytest.raises(AssertionError, match="Minter_StepTooLarge"):
        member.carry(number)
    assert minter.call("weights")[1] == (before[0] - 1000, 1000)


def test_a_vote_pays_a_grant_within_the_cap(member: Member) -> None:
    paper = member.paper
    contracts = paper.network.contracts
    dollar, treasury = contract(paper.rpc, contracts, "TestDollar"), contract(paper.rpc, contracts, "Treasury")
    Sender(paper.rpc, ALICE).send(dollar, "transfer", contracts.treasury, 1_000_000)
    grantable = treasury.call("grantable", contracts.payment)
    assert 0 < grantable < 100_000, "an empty-turnout raid gets at most the cap"
    to = Account(b"\x77" * 32).address
    made = member.act("proposal", "grant", "0x" + to.hex(), f"0.{grantable:06}", "--why", "docs")
    member.carry(made["number"])
    assert dollar.call("balanceOf", to) == grantable
    more = member.act("proposal", "grant", "0x" + to.hex(), "0.000001", "--why", "one more")
    with pytest.raises(AssertionError, match="Treasury_AboveCap"):
        member.carry(more["number"])


def test_a_vote_changes_who_verifies(member: Member) -> None:
    paper = member.paper
    token, stake = (contract(paper.rpc, paper.network.contracts, name) for name in ("Token", "Stake"))
    guest = Account(b"\x78" * 32)
    paper.chain.fund(guest.address, 10**18)
    Sender(paper.rpc, VERIFIER).send(token, "transfer", guest.address, stake.call("MINIMUM_BOND"))
    told = door(
        "stake", "join", "--network", paper.file, "--key", key_file(paper.folder, guest), "--signer", "0x" + b"\x79".hex() * 20, "--json"
    ).json()
    assert told["verifies"] is True
    made = member.act("proposal", "expel", "0x" + guest.address.hex(), "--why", "it hid Entries")
    member.carry(made["number"])
    assert member.ask("stake", "show", "0x" + guest.address.hex())["verifies"] is False


def test_a_vote_names_an_issuer_and_takes_it_off(member: Member) -> None:
    paper = member.paper
    attestations = contract(paper.rpc, paper.network.contracts, "Attestations")
    guest = Account(b"\x7a" * 32).address
    made = member.act("proposal", "issuer", "licence", "0x" + guest.hex(), "--why", "the grid operator knows")
    assert made["actions"] == [f"Attestations.setIssuer(topic licence, issuer 0x{guest.hex()}, accepted True)"]
    member.carry(made["number"])
    assert attestations.call("issuersOf", word_of("licence")) == (guest,)
    again = door("proposal", "issuer", "licence", "0x" + guest.hex(), "--why", "twice", *member.words)
    assert again.code == 1
    assert "is an issuer of 'licence' as it is: nothing would change" in again.err
    off = member.act("proposal", "issuer", "licence", "0x" + guest.hex(), "--remove", "--why", "it moved away")
    member.carry(off["number"])
    assert attestations.call("issuersOf", word_of("licence")) == ()


def next_settlement(rpc: Rpc, here: Contracts, follows: bytes, clock: Clock = CLOCK) -> bytes:
    """Anyone deploys a Settlement with its Challenges."""
    sender = Sender(rpc, FOUNDER)
    settlement, challenges = (create_address(FOUNDER.address, rpc.nonce(FOUNDER.address) + place) for place in (0, 1))
    parties = (here.token, here.payment, here.minter, here.stake, here.channels, here.timelock, challenges, follows)
    creations = {
        "Settlement": (parties, solidity_clock(clock), State.genesis().root(), bytes(31) + b"\x01"),
        "Challenges": ((settlement, here.token, here.stake, here.timelock, bytes(20), 100, 10),),
    }
    for name, arguments in creations.items():
        sender.wait(sender.submit_raw(f"creation of {name}", None, abi(name).encode_creation(*arguments)))
    return settlement


def test_a_vote_announces_a_new_settlement_and_only_one_that_follows(member: Member) -> None:
    paper = member.paper
    here = paper.network.contracts
    for address, words in (
        (bytes(19) + b"\x07", "there is no contract at 0x"),
        (bytes(here.token), "is no Settlement of Subak"),
        (bytes(here.settlement), "does not take over from"),
        (next_settlement(paper.rpc, here, bytes(20)), "does not take over from"),
    ):
        refused = door("proposal", "succeed", "0x" + address.hex(), "--why", "newer", *member.words)
        assert (refused.code, words in refused.err) == (1, True), refused.err
    next_ = next_settlement(paper.rpc, here, here.settlement)
    made = member.act("proposal", "succeed", "0x" + next_.hex(), "--why", "newer")
    assert [each.partition("(")[0] for each in made["actions"]] == ["Minter.announce", "Channels.announce", "Stake.announce"]
    member.carry(made["number"])
    stands = standing(paper.rpc, here)
    assert stands.announced == next_
    assert len(stands.waits) == 3
    waits = door("network", "follow", "--network", paper.file, "--json").json()
    assert waits["announced"] == "0x" + next_.hex()


def test_a_member_that_signs_elsewhere_gets_the_call_that_proposes(member: Member) -> None:
    """A multisig that holds tokens proposes too: what it sends is printed, nothing is sent, no key is asked for."""
    paper = member.paper
    before = len(member.ask("proposal", "list")["proposals"])
    asked = ("proposal", "grant", "0x" + ALICE.address.hex(), "0", "--token", "--why", "nothing, kindly", *member.who)
    batch = door(*asked, "--calldata").json()
    (call,) = batch["transactions"]
    assert (batch["version"], batch["chainId"], call["value"]) == ("1.0", "31337", "0")
    assert call["to"] == "0x" + paper.network.contracts.governor.hex()
    assert batch["meta"]["description"].startswith(f"Treasury.grant(asset 0x{paper.network.contracts.token.hex()}")
    assert len(member.ask("proposal", "list")["proposals"]) == before
    unsigned = door(*asked)
    assert unsigned.code == 1
    assert "name the account that proposes and pays the gas with --key, or --calldata" in unsigned.err
    send(paper.rpc, VERIFIER.address, call)
    paper.chain.mine()
    assert member.ask("proposal", "show", before + 1)["description"] == "nothing, kindly"


def send(rpc: Rpc, sender: bytes, call: Mapping[str, str]) -> None:
    """As a wallet sends it for the account."""
    rpc.request("anvil_impersonateAccount", "0x" + sender.hex())
    rpc.request("eth_sendTransaction", {"from": "0x" + sender.hex(), "to": call["to"], "data": call["data"]})
    rpc.request("anvil_stopImpersonatingAccount", "0x" + sender.hex())


@dataclass(frozen=True)
class Multisig:
    """A network where one decides, at the door."""

    paper: Paper
    contracts: Contracts
    file: Path

    def batch(self, *words: object) -> dict[str, Any]:
        told: dict[str, Any] = door("proposal", *words, "--network", self.file, "--why", "the owners agreed", "--json").json()
        return told

    def carry(self, *words: object) -> str:
        """Send what the door prints, as the multisig; what it said that it does."""
        batch = self.batch(*words)
        assert batch["meta"]["createdFromSafeAddress"] == "0x" + self.contracts.timelock.hex()
        for call in batch["transactions"]:
            send(self.paper.rpc, self.contracts.timelock, call)
            self.paper.chain.mine()
        does: str = batch["meta"]["description"]
        return does


@pytest.fixture(scope="module")
def multisig(paper: Paper) -> Multisig:
    """Beside the paper network, on its chain; its authority is some contract."""
    sender, here = Sender(paper.rpc, FOUNDER), paper.network.contracts
    made = sender.wait(sender.submit_raw("collection", None, abi("TestCollection").encode_creation(["0x" + FOUNDER.address.hex()])))
    assert made.contract is not None
    existing = Existing(*("0x" + each.hex() for each in (here.token, made.contract, here.attestations)))
    genesis = (paper.now // DAY + 1) * DAY
    clock = msgspec.structs.replace(CLOCK, genesis_unix_s=genesis)
    plan = SeamPlan(
        name="Rooftops",
        chain_id=31337,
        clock=clock,
        existing=existing,
        budget=BudgetPlan(99, (1_000,)),
        pools={"energy": 10_000},
        verifiers={"0x" + VERIFIER.address.hex(): 1},
        genesis=Genesis(policy=paper.policy),
    )
    contracts = deploy_seams(paper.rpc, FOUNDER, plan)
    paper.chain.fund(contracts.timelock, 10**18)
    network = Network("Rooftops", 31337, clock, contracts, paper.network.nodes, speed=3600)
    file = paper.folder / "rooftops.toml"
    write_network(file, network)
    paper.go_to(genesis + 60)
    return Multisig(paper, contracts, file)


def test_where_a_multisig_decides_the_door_prints_what_it_has_to_send(multisig: Multisig) -> None:
    rpc, contracts = multisig.paper.rpc, multisig.contracts
    allowed, vault = (contract(rpc, contracts, name) for name in ("AllowList", "Vault"))
    listed = f"0x{ALICE.address.hex()}=2,0x{VERIFIER.address.hex()}=3"
    assert multisig.carry("verifiers", listed).startswith("AllowList.set(signers [0x")
    assert {*zip(*allowed.call("list")[1:], strict=True)} == {(ALICE.address, 2), (VERIFIER.address, 3)}
    does = multisig.carry("weights", "energy=9500,verifiers=500", "--from-epoch", 5)
    assert does == "Vault.setWeights(fromEpoch 5, pools [energy, verifiers], weightsBps [9500, 500])"
    assert vault.call("weights")[1] == (9500, 500)
    multisig.carry("issuer", "licence", "0x" + ALICE.address.hex())
    assert contract(rpc, contracts, "Attestations").call("issuersOf", word_of("licence")) == (ALICE.address,)
    next_ = next_settlement(rpc, contracts, contracts.settlement, load_network(multisig.file).clock)
    assert multisig.carry("succeed", "0x" + next_.hex()) == f"Vault.announce(next 0x{next_.hex()})"
    assert standing(rpc, contracts).announced == next_


def test_where_a_multisig_decides_nobody_votes(multisig: Multisig) -> None:
    decides = "0x" + multisig.contracts.timelock.hex()
    key = ("--network", multisig.file, "--key", key_file(multisig.paper.folder, VERIFIER))
    for words in (("vote", 1, "for"), ("delegate",), ("proposal", "queue", 1)):
        refused = door(*words, *key)
        assert (refused.code, f"a multisig decides here, nobody votes: {decides}" in refused.err) == (1, True), refused.err
    refusals: tuple[tuple[tuple[str, ...], str], ...] = (
        (("proposal", "grant", decides, "1"), f"has no treasury: {decides} pays out of its own"),
        (("proposal", "expel", decides), f"here {decides} lists who verifies: `subak proposal verifiers`"),
    )
    for asked, said in refusals:
        refused = door(*asked, "--why", "so", *key)
        assert (refused.code, said in refused.err) == (1, True), refused.err


def test_where_stakes_decide_nobody_lists_verifiers(member: Member) -> None:
    refused = door("proposal", "verifiers", f"0x{ALICE.address.hex()}=1", "--why", "x", *member.words)
    assert refused.code == 1
    assert "here stakes decide who verifies: `subak proposal expel`" in refused.err


def test_what_cannot_be_read_or_found_is_said(member: Member) -> None:
    words = ("--network", member.paper.file)
    none = door("proposal", "show", 999, *words)
    assert none.code == 1
    assert "there is no proposal 999" in none.err
    bad = door("proposal", "weights", "energy", "--from-epoch", 9, "--why", "x", *words, "--key", key_file(member.paper.folder, FOUNDER))
    assert bad.code == 1
    assert "write it as energy=9000" in bad.err
    assert "executed" in door("proposal", "list", *words).out
