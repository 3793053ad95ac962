"""A network of one real verifier, from intake to claim, on a chain whose clock a test moves; its members replace the Settlement."""

from __future__ import annotations

import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import msgspec
import polars as pl
import uvicorn
from typer.testing import CliRunner

from subak.archive.books import read_contents
from subak.archive.store import FolderArchive
from subak.archive.tables import write_limit_table
from subak.chain.abi import abi
from subak.chain.accounts import Account
from subak.chain.attestations import Attestations
from subak.chain.contracts import Sender
from subak.chain.deploy import (
    Genesis,
    Plan,
    SchedulePlan,
    StakePlan,
    TokenPlan,
    contract,
    create_address,
    deploy,
    solidity_clock,
    word_of,
)
from subak.chain.governance import Governance, ProposalState, Support
from subak.chain.local import LocalChain
from subak.chain.network_file import load_network, write_network
from subak.chain.rpc import Rpc
from subak.chain.settlement import Phase, Settlement, SettlementView
from subak.chain.succession import standing
from subak.cli.main import app
from subak.core.canon import ed25519
from subak.core.canon.entry import entry_digest, pack
from subak.core.canon.ids import ED25519, asset_id, signer_id
from subak.core.canon.json import encode, hash_json
from subak.core.kind import Schema
from subak.core.nouns import Bootstrap, Clock, Contents, Contracts, Hash, KindPolicy, Network, Policy
from subak.core.nouns.network import Nodes
from subak.core.settlement import POSSESSION
from subak.core.settlement.money import INSTALLED
from subak.kinds.energy.rules.schemas import CLEAR_SKY, PARAMETERS, READING
from subak.kinds.registry import installed, rules_hash
from subak.lab.recording import CELL, june_2017
from subak.lab.recording import CLEAR_SKY as CLEAR_SKY_FILE
from subak.verifier.closing import Closing
from subak.verifier.intake import BATCH
from subak.verifier.omission import Promise
from subak.verifier.service import Service, make_service

# The small town lives beside the explorer's tests.
sys.path.insert(0, str(Path(__file__).parents[1] / "explorer"))
from small_town import BUDGET, GENESIS_UNIX_S, HOUR_S, _free_port, account

__all__ = ["CLOCK", "DAY_S", "HOUR_S", "WATCHER", "Home", "World", "open_world", "served"]

DAY_S = 86_400
EPOCH_S = 10 * DAY_S
"""So long that the members' wait takes few of them."""
CLOCK = Clock(GENESIS_UNIX_S, EPOCH_S, HOUR_S, 6 * HOUR_S, 6 * HOUR_S, 1800, 6 * HOUR_S, 10 * DAY_S)
FOUNDER, VERIFIER, WATCHER = account(1000), account(1001), account(2000)
HOMES = (1, 5)
GONE = 7
"""A home that hands in nothing from epoch 2 on."""


class Stingy(Closing):
    """Pays nobody out: everyone claims for themselves."""

    def _pay_out(self, now_unix_s: int) -> None:
        pass


@dataclass(frozen=True)
class Home:
    """A recorded one, with its keys."""

    number: int

    @property
    def owner(self) -> Account:
        return account(self.number)

    @property
    def seed(self) -> bytes:
        return struct.pack(">32s", b"home %d" % self.number)

    @property
    def key(self) -> bytes:
        return ed25519.public_key(self.seed)

    @property
    def asset(self) -> bytes:
        return asset_id(ED25519, self.key, self.owner.address)


@dataclass
class World:
    """The network, and what it takes to go on with it."""

    folder: Path
    chain: LocalChain
    rpc: Rpc
    plan: Plan
    homes: Sequence[Home]
    gone: Home
    file: Path
    service: Service = field(init=False)
    _server: uvicorn.Server = field(init=False)
    _thread: threading.Thread = field(init=False)

    @property
    def network(self) -> Network:
        return load_network(self.file)

    @property
    def url(self) -> str:
        return self.network.nodes.verifiers[0]

    @property
    def archive(self) -> FolderArchive:
        return self.service.closing.archive

    @property
    def recorded_until(self) -> int:
        return GENESIS_UNIX_S + 29 * DAY_S

    @property
    def now(self) -> int:
        return self.rpc.block().timestamp

    def start(self) -> None:
        """The verifier, with whatever its file says; the test moves it a step at a time."""
        self.service = make_service(self.network, self.folder / "verifier", VERIFIER, Stingy)
        port = int(self.url.rpartition(":")[2])
        config = uvicorn.Config(self.service, host="127.0.0.1", port=port, lifespan="off", log_level="error")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        until(lambda: self._server.started)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        self.service.intake.close()
        self.service.vouchers.close()
        self.service.vouchers.clerk.close()
        self.service.closing.entries.close()

    def close(self) -> None:
        self.stop()
        self.chain.stop()

    def go_to(self, unix_s: int) -> None:
        if self.now < unix_s:
            self.chain.run_from(unix_s)
            self.chain.freeze()
        for _ in range(3):
            self.chain.mine()

    def tick(self) -> None:
        """One pass of the verifier, as its thread makes it."""
        self.service.tick(self.now, self.service.look())

    def view(self, contracts: Contracts | None = None) -> SettlementView:
        return Settlement(self.rpc, contracts or self.network.contracts).view()

    def settle(self, until_phase: Phase = Phase.IDLE) -> None:
        """Let the verifier bring what is closed to this phase, step by step."""
        for _ in range(12):
            self.tick()
            view = self.view()
            if view.phase is until_phase:
                return
            if view.phase is Phase.OPEN:
                self.go_to(view.sealed_unix_s)
            elif view.pending is not None:
                self.go_to(view.pending.deadline_unix_s)
        raise AssertionError(f"it is {self.view().phase}, not {until_phase}")

    def say(self, epoch: int) -> dict[Home, Promise]:
        """Every home hands in what its meter recorded in an epoch, as far as there is a recording; what the verifier promised of the last
        Entry of each."""
        said = {}
        until(lambda: self.service.clock() >= self.now)
        self.service.learn(self.now)
        for home in [*self.homes, *([self.gone] if epoch < 2 else [])]:
            entries = list(self._entries(home, epoch))
            answer = httpx.post(f"{self.url}/v1/entries", content=b"".join(entries), headers={"content-type": BATCH})
            assert answer.status_code == 200, answer.text
            digests = [hexed(entry_digest(each[:-64])) for each in entries]
            acknowledged = answer.json()["acknowledgement"]
            said[home] = Promise.read({"acknowledgement": acknowledged, "digests": digests, "entry": hexed(entries[-1])})
        return said

    def _entries(self, home: Home, epoch: int) -> Sequence[bytes]:
        start = CLOCK.first_unix_s(epoch)
        entries = [self._signed(home, POSSESSION, 0, start, 0, [[bytes(home.owner.address)]])] if epoch == 0 else []
        for at in range(start, min(start + EPOCH_S, self.recorded_until), DAY_S):
            counters = [june_2017().counters_at(home.number, end) for end in range(at + HOUR_S, at + DAY_S + HOUR_S, HOUR_S)]
            rows = [[each.export_wh, each.import_wh, each.generation_wh] for each in counters]
            entries.append(self._signed(home, READING, at // HOUR_S, at, HOUR_S, rows))
        return entries

    def _signed(self, home: Home, schema: Schema, sequence: int, start: int, interval: int, rows: Sequence[Sequence[Any]]) -> bytes:
        signed = pack(
            network=self.network.id,
            schema=schema,
            subject=home.asset,
            signer=signer_id(ED25519, home.key),
            sequence=sequence,
            start_unix_s=start,
            interval_seconds=interval,
            rows=rows,
        )
        return signed + ed25519.sign(home.seed, signed)

    def books(self, first: int, last: int, hashes: Sequence[bytes]) -> list[Contents]:
        assert len(hashes) == last - first + 1
        return [read_contents(self.archive, each) for each in hashes]

    def deploy_next(self) -> Contracts:
        """Anyone deploys a Settlement that follows this one, and its Challenges."""
        here, start, sender = self.network.contracts, self.rpc.nonce(FOUNDER.address), Sender(self.rpc, FOUNDER)
        settlement, challenges = (create_address(FOUNDER.address, start + place) for place in (0, 1))
        parties = (here.token, here.payment, here.minter, here.stake, here.channels, here.timelock, challenges, here.settlement)
        disputes = (settlement, here.token, here.stake, here.timelock, here.guardian, self.plan.bond, self.plan.bond // 10)
        next_clock = msgspec.structs.replace(CLOCK, challenge_seconds=7 * HOUR_S)
        creations = {
            "Settlement": (parties, solidity_clock(next_clock), self.plan.genesis.state_root, self.plan.genesis.policy),
            "Challenges": (disputes,),
        }
        for name, arguments in creations.items():
            sender.wait(sender.submit_raw(f"creation of {name}", None, abi(name).encode_creation(*arguments)))
        return msgspec.structs.replace(here, settlement=settlement, challenges=challenges)

    def announce(self, next_: Contracts) -> int:
        """Members vote for it and carry the vote out; when the wait is over."""
        members = Governance(self.rpc, self.network.contracts, Sender(self.rpc, FOUNDER))
        members.delegate(FOUNDER.address)
        self.go_to(self.now + 60)
        members.propose(members.succeed(next_.settlement, next_.challenges), "a new Settlement")
        made = members.proposals()[-1]
        self.go_to(made.vote_start_unix_s + 1)
        members.vote(made, Support.FOR)
        self.go_to(members.proposal(made.number).vote_end_unix_s + 1)
        members.queue(made)
        self.go_to(members.proposal(made.number).eta_unix_s)
        members.execute(made)
        assert members.proposal(made.number).state is ProposalState.EXECUTED
        return standing(self.rpc, self.network.contracts).replaceable_unix_s

    def door(self, *words: object) -> dict[str, Any]:
        """A command's JSON. Errors: whatever the door would put in words."""
        told: dict[str, Any] = msgspec.json.decode(self.words(*words, "--json").splitlines()[-1])
        return told

    def words(self, *words: object) -> str:
        """What a command says. Errors: as ``door``."""
        done = CliRunner().invoke(app, [str(word) for word in words])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.stdout

    def key(self, number: int) -> Path:
        """The account's key, as a file that the door takes."""
        path = self.folder / f"{number}.key"
        if not path.exists():
            path.touch(0o600)
            path.write_text(number.to_bytes(32, "big").hex())
        return path


def open_world(folder: Path) -> World:
    """Before epoch 0. ``close`` it afterwards."""
    chain = LocalChain(folder / "chain", _free_port(), GENESIS_UNIX_S, speed=3600)
    chain.start()
    try:
        rpc, homes = Rpc(chain.url), [Home(number) for number in (*HOMES, GONE)]
        for who in (FOUNDER, VERIFIER, WATCHER):
            chain.fund(who.address, 10**21)
        archive = FolderArchive(folder / "verifier" / "archive")
        plan = _plan(rpc, archive)
        contracts = deploy(rpc, FOUNDER, plan)
        founder, mine = Sender(rpc, FOUNDER), Sender(rpc, VERIFIER)
        mine.send(contract(rpc, contracts, "Token"), "approve", contracts.stake, 10**21)
        mine.send(contract(rpc, contracts, "Stake"), "join", VERIFIER.address, 10**21)
        rows = [(each.owner.address, ED25519, each.key, word_of("energy"), CELL, june_2017().rated_w(each.number)) for each in homes]
        founder.send(contract(rpc, contracts, "Assets"), "registerMany", rows)
        issuer = Attestations(rpc, contracts, founder)
        for home in homes:
            issuer.attest(home.asset, INSTALLED, GENESIS_UNIX_S + 365 * DAY_S)
        nodes = Nodes(rpc=chain.url, verifiers=(f"http://127.0.0.1:{_free_port()}",))
        network = Network(plan.name, plan.chain_id, CLOCK, contracts, nodes)
        write_network(folder / "network.toml", network, plan)
        world = World(folder, chain, rpc, plan, homes[:-1], homes[-1], folder / "network.toml")
        world.start()
    except BaseException:
        chain.stop()
        raise
    return world


def _plan(rpc: Rpc, archive: FolderArchive) -> Plan:
    energy = installed()["energy"].rules
    table = write_limit_table(archive, pl.read_parquet(CLEAR_SKY_FILE))
    kinds = {"energy": KindPolicy(energy.version, Hash(rules_hash(energy)), dict(PARAMETERS), {CLEAR_SKY: Hash(table)})}
    policy = Policy(version=1, late_epochs=7, kinds=kinds, bootstrap=Bootstrap(escrow_epochs=0))
    archive.put(f"policy/{hash_json(policy).hex()}.json", encode(policy))
    holders = {FOUNDER: 10**23, VERIFIER: 10**22, WATCHER: 10**23}
    return Plan(
        name="successors",
        chain_id=rpc.chain_id(),
        clock=CLOCK,
        token=TokenPlan("Subak", "SUBAK", 10**27, {"0x" + each.address.hex(): amount for each, amount in holders.items()}),
        schedule=SchedulePlan(365, (BUDGET,), 40 * BUDGET, BUDGET // EPOCH_S + 1),
        pools={"energy": 10_000},
        stake=StakePlan(10**21, 22 * DAY_S),
        issuers={INSTALLED: ["0x" + FOUNDER.address.hex()]},
        timelock_seconds=DAY_S,
        replace_seconds=33 * DAY_S,
        genesis=Genesis(Hash(hash_json(policy))),
    )


@contextmanager
def served(app: Any) -> Iterator[str]:
    """Behind HTTP: its address. Nothing that it would do by itself runs."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, lifespan="off", log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


def hexed(raw: bytes) -> str:
    return "0x" + raw.hex()


def until(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    """Wait until it holds; fail after the deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
