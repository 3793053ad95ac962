"""A whole network on this machine: chain, verifiers, recorded homes and disks as devices, hosts, customers, explorer.

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
from itertools import islice
from pathlib import Path

import httpx
import msgspec
import polars as pl
import tomli_w

from subak.archive.store import FolderArchive, content_hash
from subak.archive.tables import write_limit_table
from subak.chain.accounts import Account
from subak.chain.attestations import Attestations
from subak.chain.contracts import Contract, Sender
from subak.chain.deploy import Genesis, Plan, SalesPlan, SchedulePlan, StakePlan, TokenPlan, deploy, word_of
from subak.chain.local import CHAIN_ID, LocalChain, die_with_parent
from subak.chain.network_file import load_network, write_network
from subak.chain.rpc import Rpc
from subak.chain.snapshot import Follower
from subak.core.canon.ids import ED25519, P256, asset_id
from subak.core.canon.json import encode
from subak.core.nouns import Bootstrap, Clock, Hash, KindPolicy, Network, Nodes, Policy
from subak.core.settlement.money import INSTALLED
from subak.customer.reading import ZONE_RESOLUTION
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
POOLS = {"energy": 9_500, "verifiers": 500}
GAS_WEI = 10**24
START_SECONDS = 30.0
DOLLAR = 10**6
"""Smallest units of the test stablecoin."""
KWH_PRICE = DOLLAR * 12 // 100
"""What homes ask for 1,000 Wh."""
STORAGE_PRICE, STORAGE_UNITS = 1_000, 1_024
"""What disks ask for so many KiB-hours; dear, so that a small file costs something in a day."""
DISK_MIB = 64
LEND = 10 * DOLLAR
TASKS_PER_DAY = 48
"""A tenth of what the kind asks by default, so that a laptop's folder stays small."""
CUSTOMERS = ("neighbour", "archive")
"""The first buys energy, the second energy and storage."""


class TownError(RuntimeError):
    """The network cannot be brought up; the text says what to do."""


@dataclass(frozen=True)
class Wishes:
    """What the person who runs it chose."""

    folder: Path
    """Where everything is kept and resumed from."""
    homes: int = 10
    """How many of the ten recorded homes take part."""
    disks: int = 5
    """How many disks keep customers' files; none without two."""
    verifiers: int = 3
    """How many verifiers."""
    speed: int = HOUR_S
    """Network seconds per real second; 3600 plays an hour a second."""
    ports: int = 0
    """First of a row of ports; 0 takes free ones."""


@dataclass(frozen=True)
class Held:
    """A device and whose it is."""

    owner: Account
    """Its owner, who is paid."""
    key: DeviceKey
    """Signs its Entries."""
    kind: str
    """What it is."""
    rated: int
    """Rated capacity in the kind's unit."""

    @property
    def asset(self) -> bytes:
        """Its asset id."""
        return asset_id(self.key.curve, self.key.public, self.owner.address)


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

    customers: Sequence[str] = CUSTOMERS
    """Who buys."""

    def __init__(self, wishes: Wishes) -> None:
        self.wishes = wishes
        self.folder = wishes.folder
        self.recording = june_2017()
        wrong = not 1 <= wishes.verifiers <= 16 or not 1 <= wishes.speed <= 86_400 or not 0 <= wishes.disks <= 20
        if wrong or not 1 <= wishes.homes <= len(self.recording.homes):
            raise TownError(
                f"{wishes.homes} homes, {wishes.disks} disks, {wishes.verifiers} verifiers, speed {wishes.speed}: possible are 1 to "
                f"{len(self.recording.homes)} homes, up to 20 disks, 1 to 16 verifiers and a speed of 1 to 86400"
            )
        self.disks = range(1, wishes.disks + 1)
        self.children: list[Child] = []
        self.chain: LocalChain | None = None
        self.network: Network | None = None
        self.finals_before = 0
        """How many ranges were already final when the folder was resumed."""

    def up(self, say: Callable[[str], None]) -> Network:
        """Bring everything up; returns when every part answers and the clock runs. ``say`` hears about progress."""
        fresh = not (self.folder / "network.toml").exists()
        homes = self.recording.homes[: self.wishes.homes]
        counts = (2, self.wishes.verifiers, len(homes), len(self.disks))
        ports = iter(_ports(self.wishes.ports, sum(counts)))
        (rpc_port, explorer_port), verifier_ports, device_ports, disk_ports = ([*islice(ports, count)] for count in counts)
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
            say("deploying contracts, bonding verifiers, registering homes and disks")
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
        self._write_home_file(homes, device_ports)
        self._write_disk_file(disk_ports)
        self._write_customer_files(homes)
        self.network = network

        say("starting verifiers, devices, hosts, customers and the explorer")
        self._spawn(verifier_ports, explorer_port, homes, device_ports)
        self._await("the devices", lambda: all(_listens(port) for port in device_ports))
        self._await("the verifiers", lambda: all(_answers(f"{verifier}/v1/status") for verifier in nodes.verifiers))
        self._await("the explorer", lambda: _answers(f"{nodes.explorer}/healthz"))
        self._await("the disks", lambda: all(_listens(port) for port in disk_ports))
        self._await("the hosts", lambda: _entries(nodes.verifiers[0]) >= len(homes) + len(self.disks))
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
        for account in (founder, issuer, *self._bonders(), *self._signers(), *map(self._customer, self.customers)):
            self.chain.fund(account.address, GAS_WEI)
        network = self._deploy(rpc, nodes, self._policy())
        held: list[Held] = []
        for home in homes:
            owner, key = self._account(f"owner-{home:02}"), self._device(home)
            held.append(Held(owner, key, "energy", self.recording.rated_w(home)))
        held += [Held(self._account(f"disk-owner-{disk:02}"), self._disk(disk), "storage", DISK_MIB * 1024) for disk in self.disks]
        self._register(rpc, network, held)
        attestations = Attestations(rpc, network.contracts, Sender(rpc, issuer))
        for each in held[: len(homes)]:
            attestations.attest(each.asset, INSTALLED, self.recording.end_unix_s + 365 * 24 * HOUR_S)
        return network

    def _clock(self) -> Clock:
        return Clock(
            genesis_unix_s=self.recording.first_unix_s,
            epoch_seconds=24 * HOUR_S,
            grace_seconds=HOUR_S,
            attempt_seconds=6 * HOUR_S,
            challenge_seconds=6 * HOUR_S,
            seal_seconds=2 * HOUR_S,
        )

    def _deploy(self, rpc: Rpc, nodes: Nodes, policy: bytes) -> Network:
        """The contracts and the bonds; ``network.toml`` is written."""
        bonders, signers = self._bonders(), self._signers()
        plan = Plan(
            name="Subak on a laptop",
            chain_id=CHAIN_ID,
            clock=self._clock(),
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
            pools=POOLS,
            stake=StakePlan(minimum=BOND, unbonding_seconds=35 * 24 * HOUR_S),
            sales=SalesPlan(allocation={"0x" + self._customer(name).address.hex(): 10_000 * DOLLAR for name in self.customers}),
            issuers={INSTALLED: ["0x" + self._account("issuer").address.hex()]},
            timelock_seconds=2 * 24 * HOUR_S,
            genesis=Genesis(policy=Hash(policy)),
            nodes=nodes,
            speed=self.wishes.speed,
        )
        contracts = deploy(rpc, self._account("founder"), plan)
        network = Network(plan.name, plan.chain_id, plan.clock, contracts, nodes, plan.speed)
        token, stake = Contract("Token", contracts.token, rpc), Contract("Stake", contracts.stake, rpc)
        for bonder, signer in zip(bonders, signers, strict=True):
            sender = Sender(rpc, bonder)
            sender.send(token, "approve", contracts.stake, BOND)
            sender.send(stake, "join", signer.address, BOND)
        write_network(self.folder / "network.toml", network, plan)
        return network

    def _register(self, rpc: Rpc, network: Network, held: Sequence[Held]) -> None:
        rows = [(each.owner.address, each.key.curve, each.key.public, word_of(each.kind), CELL, each.rated) for each in held]
        Sender(rpc, self._account("founder")).send(Contract("Assets", network.contracts.assets, rpc), "registerMany", rows)

    def _bonders(self) -> list[Account]:
        return [self._account(f"verifier-{number}.owner") for number in range(self.wishes.verifiers)]

    def _signers(self) -> list[Account]:
        return [self._account(f"verifier-{number}.signer") for number in range(self.wishes.verifiers)]

    def _policy(self) -> bytes:
        """Write the genesis policy and its tables into every verifier's archive; returns its hash."""
        sky = pl.read_parquet(CLEAR_SKY)
        energy, storage = (installed()[name].rules for name in ("energy", "storage"))
        policy = b""
        for number in range(self.wishes.verifiers):
            archive = self._archive(number)
            table = write_limit_table(archive, sky)
            document = Policy(
                version=1,
                late_epochs=7,
                kinds={
                    "energy": KindPolicy(
                        energy.version, Hash(rules_hash(energy)), PARAMETERS | {ZONE_RESOLUTION: 5}, {"clear_sky": Hash(table)}
                    ),
                    "storage": KindPolicy(storage.version, Hash(rules_hash(storage)), {"tasks_per_day": TASKS_PER_DAY}, {}),
                },
                bootstrap=Bootstrap(escrow_epochs=0),
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
        for name, wanted in (("homes", homes), ("disks", self.disks)):
            if wanted:
                command = [*subak, "host", "--network", network_file, "--config", str(self.folder / name / "host.toml")]
                self.children.append(Child(name, command, logs / f"{name}.log"))
        for name in self.customers:
            command = [*subak, "lab", "customer", "--network", network_file, "--config", str(self._customer_folder(name) / "customer.toml")]
            command += ["--disks", str(len(self.disks))] if len(self.disks) > 1 else []
            self.children.append(Child(name, command, logs / f"{name}.log"))
        command = [*subak, "explorer", "--rpc", self.network.nodes.rpc, "--archive", f"{self.network.nodes.verifiers[0]}/archive"]
        command += ["--database", str(self.folder / "explorer.sqlite"), "--port", str(explorer_port)]
        self.children.append(Child("explorer", command, logs / "explorer.log"))
        for child in self.children:
            child.start()

    def _write_home_file(self, homes: Sequence[int], device_ports: Sequence[int]) -> None:
        folder = self.folder / "homes"
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
                    "price": {"money": KWH_PRICE, "per_units": 1_000, "capacity": self.recording.rated_w(home)},
                }
            )
        (folder / "host.toml").write_text(tomli_w.dumps({"outbox": "outbox.sqlite", "devices": devices}))

    def _write_disk_file(self, ports: Sequence[int]) -> None:
        folder = self.folder / "disks"
        folder.mkdir(parents=True, exist_ok=True)
        devices = []
        for disk, port in zip(self.disks, ports, strict=True):
            owner, key = self._account(f"disk-owner-{disk:02}").address, self._disk(disk)
            devices.append(
                {
                    "asset": "0x" + asset_id(key.curve, key.public, owner).hex(),
                    "owner": "0x" + owner.hex(),
                    "kind": "storage",
                    "key": os.path.relpath(self._key(f"disk-{disk:02}"), folder),
                    "source": {
                        "path": str(folder / f"disk-{disk:02}"),
                        "size": f"{DISK_MIB}MiB",
                        "listen": f"127.0.0.1:{port}",
                        "endpoint": f"http://127.0.0.1:{port}",
                        "price": STORAGE_PRICE,
                        "per_units": STORAGE_UNITS,
                    },
                }
            )
        (folder / "host.toml").write_text(tomli_w.dumps({"outbox": "outbox.sqlite", "lend": LEND, "devices": devices}))

    def _write_customer_files(self, homes: Sequence[int]) -> None:
        """The neighbour buys half of what the first three homes feed in, the archive a quarter of the first's; and keeps a file."""
        assets = ["0x" + asset_id(ED25519, self._device(home).public, self._account(f"owner-{home:02}").address).hex() for home in homes]
        verifiers = load_network(self.folder / "network.toml").nodes.verifiers
        for place, (name, homes_bought, permille) in enumerate(zip(self.customers, (3, 1), (500, 250), strict=False)):
            document: dict[str, object] = {
                "clerk": verifiers[place % len(verifiers)],
                "limit": 200 * DOLLAR,
                "budget": 5_000 * DOLLAR,
                "cell": f"{CELL:x}",
                "energy": [{"asset": asset, "permille": permille} for asset in assets[:homes_bought]],
            }
            if place and len(self.disks) > 1:
                document["storage"] = {"folder": "storage"}
            (self._customer_folder(name) / "customer.toml").write_text(tomli_w.dumps(document))

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

    def _disk(self, disk: int) -> DeviceKey:
        """Every second disk signs with P-256, as phones and secure elements do."""
        return load_or_create(self._key(f"disk-{disk:02}"), P256 if disk % 2 == 0 else ED25519)

    def _customer_folder(self, name: str) -> Path:
        folder = self.folder / "customers" / name
        (folder / "wallet").mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def _customer(self, name: str) -> Account:
        return Account.load_or_create(self._customer_folder(name) / "wallet" / "account.key")


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
