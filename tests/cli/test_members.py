"""What members do through the door: propose, vote, carry out; and what a proposal would have done before anyone votes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from subak.chain.accounts import Account
from subak.chain.contracts import Sender
from subak.chain.deploy import contract
from subak.chain.snapshot import Follower
from subak.core.canon.json import encode, hash_json
from subak.core.nouns import Bootstrap, Hash, KindPolicy, Policy
from subak.kinds.registry import installed, rules_hash

from .paper import ALICE, FOUNDER, VERIFIER, Paper, door, key_file

DAY = 86_400


class Member:
    """The verifier's owner, who holds tokens, at the door."""

    def __init__(self, paper: Paper) -> None:
        self.paper = paper
        self._who = ("--network", paper.file, "--json")
        self._acts = (*self._who, "--key", key_file(paper.folder, VERIFIER))

    def ask(self, *words: object) -> dict[str, Any]:
        told: dict[str, Any] = door(*words, *self._who).json()
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


def test_what_cannot_be_read_or_found_is_said(member: Member) -> None:
    words = ("--network", member.paper.file)
    none = door("proposal", "show", 999, *words)
    assert none.code == 1
    assert "there is no proposal 999" in none.err
    bad = door("proposal", "weights", "energy", "--from-epoch", 9, "--why", "x", *words, "--key", key_file(member.paper.folder, FOUNDER))
    assert bad.code == 1
    assert "write it as energy=9000" in bad.err
    assert "executed" in door("proposal", "list", *words).out
