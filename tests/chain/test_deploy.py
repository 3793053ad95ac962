"""A founder's plan, its file, and what stands on the chain after it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from subak.chain.contracts import ChainRefused, Contract, Sender
from subak.chain.deploy import (
    FIELDS,
    Genesis,
    GuardianPlan,
    Plan,
    PlanRefused,
    SalesPlan,
    StakePlan,
    contract,
    create_address,
    deploy,
    is_deployed,
)
from subak.chain.local import LocalChain
from subak.chain.network_file import NetworkFileRefused, load_network, load_plan, write_network, write_plan
from subak.chain.rpc import Rpc, RpcError
from subak.core.canon.keccak import keccak256
from subak.core.nouns.document import Address
from subak.core.nouns.network import Contracts, Network, Nodes

from .conftest import DAY, FOUNDER, GENESIS, TOKEN, VERIFIERS, Town, free_port


def test_what_was_planned_stands_on_the_chain(town: Town) -> None:
    assert is_deployed(town.rpc, town.contracts)
    token, minter, timelock = (town.contract(name) for name in ("Token", "Minter", "Timelock"))
    assert (token.call("name"), token.call("symbol"), token.call("CAP")) == ("Subak", "SUBAK", 10**9 * TOKEN)
    assert [token.call("balanceOf", each.address) for each in [FOUNDER, *VERIFIERS]] == [10_000 * TOKEN] * 4
    assert token.call("MINTER") == town.contracts.minter
    assert (minter.call("settlement"), minter.call("AUTHORITY")) == (town.contracts.settlement, town.contracts.timelock)
    settlement = town.contract("Settlement")
    parts = [settlement.call(name) for name in ("TOKEN", "PAYMENT", "BUDGET", "WEIGHTS", "REVENUE", "AUTHORITY")]
    here = town.contracts
    assert parts == [here.token, here.payment, here.minter, here.stake, here.channels, here.timelock]
    channels = town.contract("Channels")
    facts = ("PAYMENT", "TOKEN", "settlement", "BONDS", "ASSETS", "AUTHORITY", "TREASURY", "BURNS", "CLOSE_DELAY_SECONDS")
    said = [channels.call(name) for name in facts]
    assert said == [here.payment, here.token, here.settlement, here.stake, here.assets, here.timelock, here.treasury, False, 2 * DAY + 3600]
    stake, challenges = town.contract("Stake"), town.contract("Challenges")
    assert [stake.call(name) for name in ("CHANNELS", "challenges", "AUTHORITY")] == [here.channels, here.challenges, here.timelock]
    said = [challenges.call(name) for name in ("SETTLEMENT", "TOKEN", "BONDS", "AUTHORITY", "GUARDIAN")]
    assert said == [here.settlement, here.token, here.stake, here.timelock, here.guardian]
    assert (challenges.call("BOND"), challenges.call("DATA_FEE")) == (town.plan.bond, town.plan.bond // 10)
    assert [settlement.call(name) for name in ("CHALLENGES", "PREDECESSOR")] == [here.challenges, bytes(20)]
    assert town.contract("TestDollar").call("decimals") == 6
    assert town.contract("Attestations").call("AUTHORITY") == here.timelock
    assert any(town.contract("SharesFactory").call("IMPLEMENTATION"))
    assert settlement.call("policyAt", 0) == town.plan.genesis.policy
    assert town.contract("Assets").call("IMPORTER") == FOUNDER.address

    roles = {name: timelock.call(name) for name in ("PROPOSER_ROLE", "CANCELLER_ROLE", "EXECUTOR_ROLE", "DEFAULT_ADMIN_ROLE")}
    holders = {
        name: [each for each in (FOUNDER.address, bytes(20), here.timelock, here.governor) if timelock.call("hasRole", role, each)]
        for name, role in roles.items()
    }
    assert holders == {
        "PROPOSER_ROLE": [here.governor],
        "CANCELLER_ROLE": [here.governor],
        "EXECUTOR_ROLE": [bytes(20)],
        "DEFAULT_ADMIN_ROLE": [here.timelock],
    }
    assert timelock.call("getMinDelay") == town.plan.timelock_seconds


def deployed(rpc: Rpc, contracts: Contracts) -> list[Contract]:
    """Every contract of a deployment, also the one that SharesFactory made."""
    found = [each for name in FIELDS if any((each := contract(rpc, contracts, name)).address)]
    shares = contract(rpc, contracts, "SharesFactory").call("IMPLEMENTATION")
    return [*found, Contract("AssetShares", shares, rpc)]


def outsiders(rpc: Rpc, contracts: Contracts) -> dict[str, Address]:
    """Whom the contracts name and who is no contract, by getter; nobody is nobody."""
    said = {
        f"{each.name}.{getter}": each.call(getter)
        for each in deployed(rpc, contracts)
        for getter, signature in each.abi.functions.items()
        if not signature.types and signature.outputs == ("address",)
    }
    return {getter: address for getter, address in said.items() if any(address) and not rpc.code(address)}


def test_no_account_of_a_person_holds_any_role(town: Town) -> None:
    """Only the importer is named, and it is nobody from genesis on: see the next test."""
    assert outsiders(town.rpc, town.contracts) == {"Assets.IMPORTER": FOUNDER.address}
    everyone = deployed(town.rpc, town.contracts)
    granted = [keccak256(b"RoleGranted(bytes32,address,address)"), keccak256(b"OwnershipTransferred(address,address)")]
    head = town.rpc.block().number
    logs = town.rpc.logs(0, head, [each.address for each in everyone], granted)
    timelock = town.contract("Timelock")
    roles = [timelock.event(log) for log in logs]
    executor = timelock.call("EXECUTOR_ROLE")
    holders = {(event.values["role"] == executor, event.values["account"]) for event in roles if event is not None}
    assert None not in roles
    assert holders == {(True, Address(bytes(20))), (False, town.contracts.governor), (False, town.contracts.timelock)}


OWNER_LIKE = [
    *("owner()", "admin()", "getOwner()", "implementation()", "pendingOwner()", "transferOwnership(address)", "renounceOwnership()"),
    *("upgradeTo(address)", "upgradeToAndCall(address,bytes)", "changeAdmin(address)", "setOwner(address)", "initialize()"),
    *("sweep(address)", "rescue(address)", "unpause()", "selfdestruct()"),
]
PROXY_SLOTS = [int.from_bytes(keccak256(f"eip1967.proxy.{part}".encode())) - 1 for part in ("implementation", "admin", "beacon")]


def test_nothing_has_an_owner_or_can_be_exchanged(town: Town) -> None:
    for each in deployed(town.rpc, town.contracts):
        for words in OWNER_LIKE:
            selector = keccak256(words.encode())[:4]
            assert selector not in [signature.hash[:4] for signature in each.abi.functions.values()], f"{each.name} has {words}"
            with pytest.raises(RpcError):
                town.rpc.call(each.address, selector + bytes(32))
        stored = [town.rpc.request("eth_getStorageAt", "0x" + each.address.hex(), hex(slot), "latest") for slot in PROXY_SLOTS]
        assert [int(word, 16) for word in stored] == [0, 0, 0], each.name


def test_importer_and_guardian_end_by_the_clock(tmp_path: Path, plan: Plan) -> None:
    keyholder = VERIFIERS[0]
    until = GENESIS + 30 * DAY
    plan = msgspec.structs.replace(plan, guardian=GuardianPlan("0x" + keyholder.address.hex(), until))
    with LocalChain(tmp_path / "chain", free_port(), GENESIS, speed=1) as chain:
        rpc = Rpc(chain.url)
        for each in (FOUNDER, keyholder):
            chain.fund(each.address, 10 * TOKEN)
        contracts = deploy(rpc, FOUNDER, plan)
        assert outsiders(rpc, contracts) == {"Assets.IMPORTER": FOUNDER.address, "Guardian.KEYHOLDER": keyholder.address}
        assets, guardian, founder, keeper = (
            contract(rpc, contracts, "Assets"),
            contract(rpc, contracts, "Guardian"),
            Sender(rpc, FOUNDER),
            Sender(rpc, keyholder),
        )
        for_another = [(keyholder.address, 1, bytes([place]) * 32, b"energy".ljust(32, b"\0"), 0, 5_000) for place in (1, 2)]
        founder.send(assets, "register", for_another[0])
        chain.run_from(GENESIS)
        chain.freeze()
        with pytest.raises(ChainRefused, match="Assets_NotAllowed"):
            founder.send(assets, "register", for_another[1])
        keeper.send(guardian, "pauseMinting")
        assert contract(rpc, contracts, "Minter").call("pausedUntil") > GENESIS
        chain.run_from(until)
        chain.freeze()
        with pytest.raises(ChainRefused, match="Guardian_Over"):
            keeper.send(guardian, "pauseMinting")


def test_what_a_contract_would_refuse_is_refused_before_anything_is_sent(folder: Path, plan: Plan) -> None:
    with LocalChain(folder, free_port(), GENESIS, 1) as chain:
        rpc = Rpc(chain.url)
        chain.fund(FOUNDER.address, TOKEN)
        hasty = msgspec.structs.replace(plan, clock=msgspec.structs.replace(plan.clock, challenge_seconds=60))
        with pytest.raises(ChainRefused, match=r"Settlement_ClockOutOfBounds\(name=challengeSeconds, secs=60"):
            deploy(rpc, FOUNDER, hasty)
        with pytest.raises(PlanRefused, match=r"the plan is for chain 1, .* is chain 31337"):
            deploy(rpc, FOUNDER, msgspec.structs.replace(plan, chain_id=1))
        chain.run_from(GENESIS)
        with pytest.raises(PlanRefused, match=f"epoch 0 begins at {GENESIS}"):
            deploy(rpc, FOUNDER, plan)
        assert rpc.nonce(FOUNDER.address) == 0


def test_addresses_follow_from_creator_and_count() -> None:
    # Known from the first contracts of a well-known account.
    creator = bytes.fromhex("6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0")
    assert [create_address(creator, nonce).hex() for nonce in (0, 1)] == [
        "cd234a471b72ba2f1ccf0a70fcaba648a5eecd8d",
        "343c43a37d37dff08ae8c4a11544c718abb4fcf8",
    ]
    assert len({create_address(creator, nonce) for nonce in (0, 1, 0x7F, 0x80, 0xFF, 0x100)}) == 6


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("weights do not add up", {"pools": {"bootstrap": 9999}}, "9999 basis points"),
    ("a pool's name does not fit", {"pools": {"x" * 33: 10_000}}, "not a name"),
    ("a pool without a name", {"pools": {"": 10_000}}, "not a name"),
    ("no policy", {"genesis": Genesis()}, "no policy"),
    ("votes outlive the bonds", {"stake": StakePlan(100, 14 * DAY)}, f"held {14 * DAY} s"),
    ("governance cannot decide in time", {"timelock_seconds": 8 * DAY}, f"a vote takes up to {15 * DAY} s"),
    ("a new Settlement before everyone could leave", {"replace_seconds": 36 * DAY}, f"leaving takes up to {36 * DAY} s"),
]


@pytest.mark.parametrize(("changes", "words"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_a_plan_that_cannot_work_is_refused(plan: Plan, changes: dict[str, Any], words: str) -> None:
    plan.check()
    with pytest.raises(PlanRefused, match=words):
        msgspec.structs.replace(plan, **changes).check()


def test_a_plan_cannot_promise_more_than_the_cap(plan: Plan) -> None:
    token = plan.token
    promised = sum(token.allocation.values()) + 3 * sum(plan.schedule.budget_per_epoch)
    just = msgspec.structs.replace(plan, token=msgspec.structs.replace(token, cap=promised))
    just.check()
    with pytest.raises(PlanRefused, match=str(promised - 1)):
        msgspec.structs.replace(plan, token=msgspec.structs.replace(token, cap=promised - 1)).check()
    with pytest.raises(PlanRefused, match=r"10\^38"):
        msgspec.structs.replace(plan, token=msgspec.structs.replace(token, cap=10**38)).check()
    with pytest.raises(PlanRefused, match="no address"):
        msgspec.structs.replace(plan, token=msgspec.structs.replace(token, allocation={"0x12": 1})).check()


def network_of(plan: Plan) -> Network:
    contracts = Contracts(*(Address(bytes([number]) * 20) for number in range(1, 11)))
    nodes = Nodes(rpc="http://127.0.0.1:8545", verifiers=("http://127.0.0.1:9001",), explorer="http://127.0.0.1:8080")
    return Network(plan.name, plan.chain_id, plan.clock, contracts, nodes, speed=3600)


def test_customers_can_pay_in_the_networks_own_token_which_is_then_burned(tmp_path: Path, plan: Plan) -> None:
    plan = msgspec.structs.replace(plan, sales=SalesPlan(asset="token", share_bps=10_000))
    write_plan(tmp_path / "network.toml", plan)
    with LocalChain(tmp_path / "chain", free_port(), GENESIS, speed=1) as chain:
        chain.fund(FOUNDER.address, 10 * TOKEN)
        rpc = Rpc(chain.url)
        known = load_plan(tmp_path / "network.toml")
        assert isinstance(known, Plan)
        contracts = deploy(rpc, FOUNDER, known)
        channels = contract(rpc, contracts, "Channels")
        assert contracts.payment == contracts.token == channels.call("PAYMENT")
        assert (channels.call("BURNS"), channels.call("shareBps")) == (True, 10_000)


@pytest.mark.parametrize(
    ("sales", "words"),
    [
        (SalesPlan(asset="dollars"), "'dollars' is no address"),
        (SalesPlan(asset="token", allocation={"0x" + "11" * 20: 1}), "only the test stablecoin can be given away"),
    ],
)
def test_a_plan_whose_customers_could_not_pay_is_refused(plan: Plan, sales: SalesPlan, words: str) -> None:
    with pytest.raises(PlanRefused, match=words):
        msgspec.structs.replace(plan, sales=sales).check()


def test_network_toml_holds_a_plan_and_later_the_network(tmp_path: Path, plan: Plan) -> None:
    path = tmp_path / "network.toml"
    write_plan(path, plan)
    assert load_plan(path) == plan
    with pytest.raises(NetworkFileRefused, match=r"no \[contracts\]"):
        load_network(path)
    network = network_of(plan)
    write_network(path, network, plan)
    assert load_network(path) == network
    assert load_plan(path) == msgspec.structs.replace(plan, nodes=network.nodes, speed=3600)
    assert path.stat().st_mode & 0o777 == 0o644
    assert [each.name for each in tmp_path.iterdir()] == ["network.toml"]


def test_a_network_without_its_plan(tmp_path: Path, plan: Plan) -> None:
    path = tmp_path / "network.toml"
    write_network(path, network_of(plan))
    assert load_network(path) == network_of(plan)
    with pytest.raises(NetworkFileRefused, match="missing required field"):
        load_plan(path)


@pytest.mark.parametrize(("text", "words"), [("name = ", "not TOML"), ('name = "x"\n[contracts]\ntoken = "0x12"', "chain_id|clock|token")])
def test_a_broken_file_names_itself_and_the_field(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "network.toml"
    path.write_text(text)
    with pytest.raises(NetworkFileRefused, match=words) as refused:
        load_network(path)
    assert str(path) in str(refused.value)
