"""A small network that lives: one verifier and three disks as processes of their own, started through the door; an epoch is nine hours."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from subak.archive.store import FolderArchive
from subak.chain.accounts import Account
from subak.chain.contracts import Sender
from subak.chain.deploy import Genesis, Plan, SalesPlan, SchedulePlan, StakePlan, TokenPlan, contract, deploy
from subak.chain.local import LocalChain
from subak.chain.network_file import write_network
from subak.chain.rpc import Rpc
from subak.core.canon.json import encode
from subak.core.nouns import Clock, Hash, Network, Nodes

from .paper import CELL, DOLLAR, GENESIS, HOUR, TOKEN, door, key_file

SPEED = 5400
EPOCH_HOURS = 9
CLOCK = Clock(
    genesis_unix_s=GENESIS,
    epoch_seconds=EPOCH_HOURS * HOUR,
    grace_seconds=HOUR // 3,
    attempt_seconds=5 * HOUR // 2,
    challenge_seconds=6 * HOUR,
)
FOUNDER, VERIFIER, CUSTOMER, ONE_OWNER, OTHER_OWNER = (Account(bytes([number]) * 32) for number in range(0x21, 0x26))
SIZE = "16MiB"


def eventually(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until the condition holds; fail after the deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


class Running:
    """A command that runs until it is stopped, and the JSON lines that it told so far."""

    def __init__(self, log: Path, *words: object) -> None:
        self.log = log
        with log.open("ab") as err:
            command = [sys.executable, "-m", "subak", *(str(word) for word in words)]
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=err, text=True)
        self.told: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def heard(self, event: str) -> list[dict[str, Any]]:
        assert self.process.poll() is None, f"it ended with {self.process.returncode}: {self.log.read_text()[-2000:]}"
        return [each for each in self.told if each.get("event") == event]

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.told.append(json.loads(line))


@dataclass
class Small:
    """The network under a test's hands."""

    chain: LocalChain
    rpc: Rpc
    network: Network
    folder: Path
    running: dict[str, Running] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path) -> Small:
        """Found it through the door, begin to run it."""
        ports = _ports(5)
        chain = LocalChain(folder / "chain", ports[0], GENESIS, speed=SPEED)
        chain.start()
        rpc = Rpc(chain.url)
        for account in (FOUNDER, VERIFIER, CUSTOMER, ONE_OWNER, OTHER_OWNER):
            chain.fund(account.address, 10 * TOKEN)
        archive = folder / "verifier" / "archive"
        policy = door(
            "policy", "build", "--out", archive, "--kinds", "storage", "--parameters", "storage.tasks_per_day=48", "--json"
        ).json()
        plan = Plan(
            name="Small",
            chain_id=31337,
            clock=CLOCK,
            token=TokenPlan("Subak", "SUBAK", 10**9 * TOKEN, {"0x" + VERIFIER.address.hex(): 10_000 * TOKEN}),
            schedule=SchedulePlan(epochs_per_period=99, budget_per_epoch=(TOKEN,), burst=100 * TOKEN, refill_per_second=10**15),
            pools={"storage": 10_000},
            stake=StakePlan(minimum=100 * TOKEN, unbonding_seconds=35 * 24 * HOUR),
            timelock_seconds=2 * 24 * HOUR,
            sales=SalesPlan(allocation={"0x" + CUSTOMER.address.hex(): 1000 * DOLLAR}),
            genesis=Genesis(policy=Hash(bytes.fromhex(policy["policy"][2:]))),
        )
        contracts = deploy(rpc, FOUNDER, plan)
        network = Network("Small", 31337, CLOCK, contracts, Nodes(chain.url, (f"http://127.0.0.1:{ports[1]}",)), speed=SPEED)
        write_network(folder / "network.toml", network)
        FolderArchive(archive).put("network.json", encode(network), replace=True)
        sender = Sender(rpc, VERIFIER)
        sender.send(contract(rpc, contracts, "Token"), "approve", contracts.stake, 2**256 - 1)
        sender.send(contract(rpc, contracts, "Stake"), "join", VERIFIER.address, 5_000 * TOKEN)
        small = cls(chain, rpc, network, folder)
        small.start("verifier", "verifier", "--folder", folder / "verifier", "--key", key_file(folder, VERIFIER), "--port", ports[1])
        for number, owner in enumerate((ONE_OWNER, OTHER_OWNER, ONE_OWNER)):
            path = small.disk(number)
            door(
                *("assets", "register", "--network", small.file, "--key", key_file(folder, owner), "--key-file", path / "device.key"),
                *("--kind", "storage", "--cell", CELL, "--rated", 16 * 1024, "--json"),
            ).json()
            small.start(
                *(f"disk {number}", "host", "storage", "--path", path, "--size", SIZE, "--owner", "0x" + owner.address.hex()),
                *("--listen", f"127.0.0.1:{ports[2 + number]}", "--price", f"{3 + number}", "--json"),
            )
        chain.run_from(GENESIS - HOUR)
        return small

    @property
    def file(self) -> Path:
        """network.toml"""
        return self.folder / "network.toml"

    @property
    def verifier(self) -> str:
        return self.network.nodes.verifiers[0]

    def disk(self, number: int) -> Path:
        return self.folder / f"disk-{number}"

    def start(self, name: str, *words: object) -> Running:
        log = self.folder / f"{name.replace(' ', '-')}.log"
        self.running[name] = Running(log, *words, "--network", self.file)
        return self.running[name]

    def offers(self) -> list[dict[str, Any]]:
        try:
            answer = httpx.get(f"{self.verifier}/v1/offers", params={"kind": "storage"}, trust_env=False)
        except httpx.HTTPError:
            return []
        found: list[dict[str, Any]] = answer.json()["offers"]
        return found

    def close(self) -> None:
        for each in reversed(self.running.values()):
            each.stop()
        self.chain.stop()


def _ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()
