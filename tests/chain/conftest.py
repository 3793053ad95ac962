"""A local chain for each test module, and the contracts of a small network on it."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from subak.chain.accounts import Account
from subak.chain.contracts import Contract, Sender
from subak.chain.deploy import Genesis, Plan, SchedulePlan, StakePlan, TokenPlan, contract, deploy
from subak.chain.local import LocalChain
from subak.chain.rpc import Rpc
from subak.core.canon.keccak import keccak256
from subak.core.nouns.document import Hash
from subak.core.nouns.network import Clock, Contracts

GENESIS = 1_496_275_200
DAY = 86_400
TOKEN = 10**18
CLOCK = Clock(genesis_unix_s=GENESIS, epoch_seconds=DAY, grace_seconds=3600, attempt_seconds=7200, challenge_seconds=6 * 3600)
FOUNDER = Account(b"\x11" * 32)
VERIFIERS = [Account(bytes([number]) * 32) for number in (0x21, 0x22, 0x23)]

PLAN = Plan(
    name="Fontana",
    chain_id=31337,
    clock=CLOCK,
    token=TokenPlan("Subak", "SUBAK", 10**9 * TOKEN, {"0x" + each.address.hex(): 10_000 * TOKEN for each in [FOUNDER, *VERIFIERS]}),
    schedule=SchedulePlan(
        epochs_per_period=3, budget_per_epoch=(1000 * TOKEN + 7, 500 * TOKEN), burst=2000 * TOKEN, refill_per_second=10**17
    ),
    pools={"bootstrap": 7001, "verifiers": 2999},
    stake=StakePlan(minimum=100 * TOKEN, unbonding_seconds=35 * DAY),
    timelock_seconds=2 * DAY,
    genesis=Genesis(policy=Hash(b"\x77" * 32)),
)


@dataclass(frozen=True)
class Town:
    """A deployed network under a test's hands."""

    chain: LocalChain
    rpc: Rpc
    plan: Plan
    contracts: Contracts
    founder: Sender
    verifiers: list[Sender]

    def contract(self, name: str) -> Contract:
        return contract(self.rpc, self.contracts, name)

    def go_to(self, unix_s: int) -> None:
        """Mine a block at that time, or one second later than the last one; the clock stands again after it."""
        self.chain.run_from(unix_s)
        self.chain.freeze()


def decide(town: Town, *calls: tuple[Contract, str, tuple[object, ...]]) -> None:
    """Let the founder, who holds a quarter of all tokens, carry a vote, and wait until it acts."""
    governor, token = town.contract("SubakGovernor"), town.contract("Token")
    town.founder.send(token, "delegate", FOUNDER.address)
    town.go_to(town.rpc.block().timestamp + 60)
    targets, data = [each.address for each, _, _ in calls], [each.abi.encode_call(name, *given) for each, name, given in calls]
    words = f"decided at {town.rpc.block().timestamp}"
    act = (targets, [0] * len(calls), data)
    named = (*act, keccak256(words.encode()))
    town.founder.send(governor, "propose", *act, words)
    proposal = governor.call("hashProposal", *named)
    town.go_to(governor.call("proposalSnapshot", proposal) + 1)
    town.founder.send(governor, "castVote", proposal, 1)
    town.go_to(governor.call("proposalDeadline", proposal) + 1)
    town.founder.send(governor, "queue", *named)
    town.go_to(town.rpc.block().timestamp + PLAN.timelock_seconds + 1)
    town.verifiers[0].send(governor, "execute", *named)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def eventually(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    """Wait until the condition holds; fail after the deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def wait_for_dump(folder: Path) -> None:
    """Wait until anvil has written its state anew: what was mined before survives a kill."""
    state = folder / "state.json"
    written = state.stat().st_mtime_ns if state.exists() else 0
    eventually(lambda: state.exists() and state.stat().st_mtime_ns > written)


def kill(chain: LocalChain) -> None:
    """SIGKILL anvil and let it be started again."""
    pid = chain.pid
    os.kill(pid, signal.SIGKILL)
    eventually(chain.ensure_running)
    assert chain.pid != pid


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalChain]:
    with LocalChain(tmp_path_factory.mktemp("chain"), free_port(), GENESIS, speed=3600) as started:
        yield started


@pytest.fixture(scope="module")
def town(chain: LocalChain) -> Town:
    rpc = Rpc(chain.url)
    for account in [FOUNDER, *VERIFIERS]:
        chain.fund(account.address, 10 * TOKEN)
    contracts = deploy(rpc, FOUNDER, PLAN)
    return Town(chain, rpc, PLAN, contracts, Sender(rpc, FOUNDER), [Sender(rpc, each) for each in VERIFIERS])


@pytest.fixture
def plan() -> Plan:
    return msgspec.structs.replace(PLAN)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "chain"
