"""A whole network on this machine: chain, verifiers, recorded homes as devices, hosts, explorer.

Everything runs as it would apart: each in its own process with its own keys, talking over loopback. A folder holds it all, so that it can
be stopped and resumed.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import msgspec
import polars as pl
import tomli_w

from subak.archive.store import FolderArchive, content_hash
from subak.archive.tables import write_limit_table
from subak.chain.accounts import Account
from subak.chain.contracts import Contract, Sender
from subak.chain.deploy import Genesis, Plan, SchedulePlan, StakePlan, TokenPlan, deploy
from subak.chain.local import CHAIN_ID, LocalChain, die_with_parent
from subak.chain.network_file import load_network, write_network
from subak.chain.rpc import Rpc
from subak.chain.snapshot import Follower
from subak.core.canon.ids import ED25519, asset_id
from subak.core.canon.json import encode
from subak.core.nouns import Address, Attestation, Bootstrap, Clock, Hash, KindPolicy, Network, Nodes, Policy
from subak.host.keys import DeviceKey, load_or_create
from subak.kinds.energy.rules.schemas import PARAMETERS
from subak.kinds.registry import installed, rules_hash
from subak.lab.recording import CELL, CLEAR_SKY, Cheat, june_2017

UNIT = 10**18
"""Smallest units of one token."""
HOUR_S = 3600
DISHONEST = {7: Cheat.NIGHT_EXPORT, 9: Cheat.DOUBLED}
"""Which of the recorded homes lie, and how."""
BOND = 1000 * UNIT
BUDGET_PER_EPOCH = 1000 * UNIT
GAS_WEI = 10**24
START_SECONDS = 30.0


class TownError(RuntimeError):
    """The network cannot be brought up; the text says what to do."""


@dataclass(frozen=True)
class Wishes:
    """What the person who runs it chose."""

    folder: Path
    """Where everything is kept and resumed from."""
    homes: int = 10
    """How many of the ten recorded homes take part."""
    verifiers: int = 3
    """How many verifiers."""
    speed: int = HOUR_S
    """Network seconds per real second; 3600 plays an hour a second."""
    ports: int = 0
    """First of a row of ports; 0 takes free ones."""


@dataclass
class Child:
    """A process of the network."""

    name: str
    command: Sequence[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    restarts: int = 0
    started_at: float = field(default=0.0)

    def start(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=die_with_parent()
            )
        self.started_at = time.monotonic()

    def revive(self) -> bool:
        """Start it again if it died; at most once a second."""
        if self.process is None or self.process.poll() is None or time.monotonic() - self.started_at < 1.0:
            return False
        self.restarts += 1
        self.start()
        return True

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Town:
    """Brings the network up, watches over it, takes it down.

    Promise: what is in the folder is resumed, chain, logs and keys alike; a process that dies is started again.
    """

    def __init__(self, wishes: Wishes) -> None:
        self.wishes = wishes
        self.folder = wishes.folder
        self.recording = june_2017()
        if not 1 <= wishes.homes <= len(self.recording.homes) or not 1 <= wishes.verifiers <= 16 or not 1 <= wishes.speed <= 86_400:
            raise TownError(
                f"{wishes.homes} homes, {wishes.verifiers} verifiers, speed {wishes.speed}: 1 to {len(self.recording.homes)} homes, "
                "1 to 16 verifiers and a speed of 1 to 86400 are possible"
            )
        self.children: list[Child] = []
        self.chain: LocalChain | None = None
        self.network: Network | None = None
        self.finals_before = 0
        """How many ranges were already final when the folder was resumed."""

    def up(self, say: Callable[[str], None]) -> Network:
        """Bring everything up; returns when every part answers and the clock runs. ``say`` hears about progress."""
        fresh = not (self.folder / "network.toml").exists()
        homes = self.recording.homes[: self.wishes.homes]
        ports = _ports(self.wishes.ports, 2 + self.wishes.verifiers + len(homes))
        rpc_port, explorer_port = ports[0], ports[1]
        verifier_ports, device_ports = ports[2 : 2 + self.wishes.verifiers], ports[2 + self.wishes.verifiers :]
        nodes = Nodes(
            rpc=f"http://127.0.0.1:{rpc_port}",
            verifiers=tuple(f"http://127.0.0.1:{port}" for port in verifier_ports),
            explorer=f"http://127.0.0.1:{explorer_port}",
        )
        self.chain = LocalChain(self.folder / "chain", rpc_port, self.recording.first_unix_s, self.wishes.speed)
        say("starting the chain")
        self.chain.start()
        rpc = Rpc(nodes.rpc)
        if fresh:
            say("deploying contracts, bonding verifiers, registering homes")
            network = self._found(rpc, nodes, homes)
        else:
            known = load_network(self.folder / "network.toml")
            network = msgspec.structs.replace(known, nodes=nodes, speed=self.wishes.speed)
            if len(known.nodes.verifiers) != self.wishes.verifiers:
                raise TownError(
                    f"{self.folder} holds a network of {len(known.nodes.verifiers)} verifiers, --verifiers says {self.wishes.verifiers}: "
                    "leave the option away or choose another --data folder"
                )
            write_network(self.folder / "network.toml", network)
            self.finals_before = len(Follower(rpc, network.contracts, network.clock).finalised())
        for number in range(self.wishes.verifiers):
            self._archive(number).put("network.json", encode(network), replace=True)
        self._write_host_file(homes, device_ports)
        self.network = network

        say("starting verifiers, devices, hosts and the explorer")
        self._spawn(verifier_ports, explorer_port, homes, device_ports)
        self._await("the devices", lambda: all(_listens(port) for port in device_ports))
        self._await("the verifiers", lambda: all(_answers(f"{verifier}/v1/status") for verifier in nodes.verifiers))
        self._await("the explorer", lambda: _answers(f"{nodes.explorer}/healthz"))
        self._await("the hosts", lambda: _entries(nodes.verifiers[0]) >= len(homes))
        self._write_pids()
        self.chain.run_from(self.recording.first_unix_s - HOUR_S // 4)
        return network

    def verifier_command(self, number: int) -> list[str]:
        """The program that verifier ``number`` runs."""
        return [sys.executable, "-m", "subak", "verifier"]

    def watch(self) -> list[str]:
        """Start again what died; the names of what was started."""
        revived = [child.name for child in self.children if child.revive()]
        if self.chain is not None and self.chain.ensure_running():
            revived.append("chain")
        if revived:
            self._write_pids()
        return revived

    def pids(self) -> dict[str, int]:
        """Process ids by name."""
        found = {"chain": self.chain.pid} if self.chain else {}
        return found | {child.name: child.process.pid for child in self.children if child.process is not None}

    def _write_pids(self) -> None:
        fresh = self.folder / "pids.new"
        fresh.write_bytes(msgspec.json.encode(self.pids()))
        fresh.rename(self.folder / "pids.json")

    def recording_ended(self) -> bool:
        return self.chain is not None and self.chain.now() >= self.recording.end_unix_s

    def down(self) -> None:
        """Stop everything; the chain writes its state last."""
        for child in reversed(self.children):
            if child.process is not None and child.process.poll() is None:
                child.process.terminate()
        for child in reversed(self.children):
            child.stop()
        if self.chain is not None:
            self.chain.stop()

    def _found(self, rpc: Rpc, nodes: Nodes, homes: Sequence[int]) -> Network:
        assert self.chain is not None
        founder, issuer = self._account("founder"), self._account("issuer")
        owners = {home: self._account(f"owner-{home:02}") for home in homes}
        devices = {home: self._device(home) for home in homes}
        bonders = [self._account(f"verifier-{number}.owner") for number in range(self.wishes.verifiers)]
        signers = [self._account(f"verifier-{number}.signer") for number in range(self.wishes.verifiers)]
        for account in (founder, *bonders, *signers):
            self.chain.fund(account.address, GAS_WEI)

        assets = {home: asset_id(ED25519, devices[home].public, owners[home].address) for home in homes}
        policy = self._policy(issuer.address, list(assets.values()))
        plan = Plan(
            name="Subak on a laptop",
            chain_id=CHAIN_ID,
            clock=Clock(
                genesis_unix_s=self.recording.first_unix_s,
                epoch_seconds=24 * HOUR_S,
                grace_seconds=HOUR_S,
                attempt_seconds=6 * HOUR_S,
                challenge_seconds=6 * HOUR_S,
            ),
            token=TokenPlan(
                name="Subak",
                symbol="SUBAK",
                cap=100_000_000 * UNIT,
                allocation={"0x" + bonder.address.hex(): 10 * BOND for bonder in bonders},
            ),
            schedule=SchedulePlan(
                epochs_per_period=365,
                budget_per_epoch=tuple(BUDGET_PER_EPOCH >> halving for halving in range(10)),
                burst=8 * BUDGET_PER_EPOCH,
                refill_per_second=BUDGET_PER_EPOCH // (12 * HOUR_S),
            ),
            pools={"energy": 10_000},
            stake=StakePlan(minimum=BOND, unbonding_seconds=35 * 24 * HOUR_S),
            timelock_seconds=2 * 24 * HOUR_S,
            genesis=Genesis(policy=Hash(policy)),
            nodes=nodes,
            speed=self.wishes.speed,
        )
        contracts = deploy(rpc, founder, plan)
        network = Network(plan.name, plan.chain_id, plan.clock, contracts, nodes, plan.speed)

        token, stake = Contract("Token", contracts.token, rpc), Contract("Stake", contracts.stake, rpc)
        for bonder, signer in zip(bonders, signers, strict=True):
            sender = Sender(rpc, bonder)
            sender.send(token, "approve", contracts.stake, BOND)
            sender.send(stake, "join", signer.address, BOND)
        registrations = [
            (owners[home].address, ED25519, devices[home].public, b"energy".ljust(32, b"\0"), CELL, self.recording.rated_w(home))
            for home in homes
        ]
        Sender(rpc, founder).send(Contract("Assets", contracts.assets, rpc), "registerMany", registrations)
        write_network(self.folder / "network.toml", network, plan)
        return network

    def _policy(self, issuer: Address, assets: Sequence[bytes]) -> bytes:
        """Write the genesis policy and its tables into every verifier's archive; returns its hash."""
        sky = pl.read_parquet(CLEAR_SKY)
        rules = installed()["energy"].rules
        policy = b""
        for number in range(self.wishes.verifiers):
            archive = self._archive(number)
            table = write_limit_table(archive, sky)
            document = Policy(
                version=1,
                late_epochs=7,
                kinds={
                    "energy": KindPolicy(
                        version=rules.version,
                        rules_hash=Hash(rules_hash(rules)),
                        parameters=dict(PARAMETERS),
                        tables={"clear_sky": Hash(table)},
                    )
                },
                bootstrap=Bootstrap(
                    escrow_epochs=0,
                    attestations=tuple(
                        Attestation(issuer, Hash(asset), self.recording.end_unix_s + 365 * 24 * HOUR_S) for asset in sorted(assets)
                    ),
                ),
            )
            raw = encode(document)
            policy = content_hash(raw)
            archive.put(f"policy/{policy.hex()}.json", raw)
        return policy

    def _spawn(self, verifier_ports: Sequence[int], explorer_port: int, homes: Sequence[int], device_ports: Sequence[int]) -> None:
        assert self.network is not None
        subak = [sys.executable, "-m", "subak"]
        network_file = str(self.folder / "network.toml")
        logs = self.folder / "logs"
        for number, port in enumerate(verifier_ports):
            options = ["--network", network_file, "--folder", str(self.folder / f"verifier-{number}")]
            options += ["--key", str(self._key(f"verifier-{number}.signer")), "--port", str(port)]
            self.children.append(Child(f"verifier-{number}", [*self.verifier_command(number), *options], logs / f"verifier-{number}.log"))
        played = ",".join(f"{home}:{port}" for home, port in zip(homes, device_ports, strict=True))
        command = [*subak, "lab", "devices", "--network", network_file, "--homes", played]
        self.children.append(Child("devices", command, logs / "devices.log"))
        command = [*subak, "host", "--network", network_file, "--config", str(self.folder / "hosts" / "host.toml")]
        self.children.append(Child("hosts", command, logs / "hosts.log"))
        command = [*subak, "explorer", "--rpc", self.network.nodes.rpc, "--archive", f"{self.network.nodes.verifiers[0]}/archive"]
        command += ["--database", str(self.folder / "explorer.sqlite"), "--port", str(explorer_port)]
        self.children.append(Child("explorer", command, logs / "explorer.log"))
        for child in self.children:
            child.start()

    def _write_host_file(self, homes: Sequence[int], device_ports: Sequence[int]) -> None:
        folder = self.folder / "hosts"
        folder.mkdir(parents=True, exist_ok=True)
        devices = []
        for home, port in zip(homes, device_ports, strict=True):
            owner, key = self._account(f"owner-{home:02}").address, self._device(home)
            devices.append(
                {
                    "asset": "0x" + asset_id(ED25519, key.public, owner).hex(),
                    "owner": "0x" + owner.hex(),
                    "kind": "energy",
                    "key": os.path.relpath(self._key(f"device-{home:02}"), folder),
                    "interval_seconds": HOUR_S,
                    "source": {"address": "127.0.0.1", "port": port, "unit": 1},
                }
            )
        (folder / "host.toml").write_text(tomli_w.dumps({"outbox": "outbox.sqlite", "devices": devices}))

    def _await(self, what: str, there: Callable[[], bool]) -> None:
        until = time.monotonic() + START_SECONDS
        while not there():
            self.watch()
            if time.monotonic() > until:
                raise TownError(f"{what} did not come up within {START_SECONDS:.0f} s; see the logs in {self.folder / 'logs'}")
            time.sleep(0.05)

    def _archive(self, number: int) -> FolderArchive:
        return FolderArchive(self.folder / f"verifier-{number}" / "archive")

    def _key(self, name: str) -> Path:
        return self.folder / "keys" / f"{name}.key"

    def _account(self, name: str) -> Account:
        return Account.load_or_create(self._key(name))

    def _device(self, home: int) -> DeviceKey:
        return load_or_create(self._key(f"device-{home:02}"))


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _entries(verifier: str) -> int:
    """Entries in a verifier's log: every device has at least said who holds it."""
    return int(httpx.get(f"{verifier}/v1/status", timeout=2).json()["entries"])


def _ports(first: int, count: int) -> list[int]:
    """``count`` ports from ``first`` on, or free ones. Errors: TownError naming a port that is taken."""
    found: list[int] = []
    held: list[socket.socket] = []
    try:
        for offset in range(count):
            each = socket.socket()
            held.append(each)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                each.bind(("127.0.0.1", first + offset if first else 0))
            except OSError as error:
                raise TownError(f"port {first + offset} is taken ({error.strerror}): choose others with --ports") from error
            found.append(each.getsockname()[1])
    finally:
        for each in held:
            each.close()
    return found
