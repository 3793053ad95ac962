"""A network for customers' tests: a real chain with its contracts, a real clerk behind HTTP, an archive behind HTTP, and final epochs whose
work is written by hand and signed by three verifiers."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import uvicorn

from subak.archive.books import write_state
from subak.archive.segments import write_segment
from subak.archive.store import FolderArchive
from subak.archive.tables import write_tables
from subak.chain.accounts import Account
from subak.chain.channels import Channels
from subak.chain.contracts import Contract, Sender
from subak.chain.deploy import Genesis, Plan, SalesPlan, SchedulePlan, StakePlan, TokenPlan, contract, deploy, word_of
from subak.chain.local import LocalChain
from subak.chain.rpc import Rpc
from subak.chain.settlement import Settlement
from subak.chain.snapshot import Finalised, Follower, fold
from subak.core.canon import ed25519
from subak.core.canon.entry import cut, pack
from subak.core.canon.ids import ED25519, asset_id, signer_id
from subak.core.canon.json import encode, hash_json
from subak.core.canon.typed_data import EpochRoot, result_hash, vote_digest
from subak.core.nouns import Address, Bootstrap, Clock, Contents, Hash, KindPolicy, Network, Nodes, Policy, SegmentRef, SnapshotRef, State
from subak.core.nouns.state import MONEY, SALES
from subak.core.settlement import OFFER
from subak.verifier.board import Board
from subak.verifier.clerk import Clerk
from subak.verifier.lines import Lines
from subak.verifier.vouchers_http import VouchersHttp

GENESIS, DAY, HOUR, TOKEN = 1_496_275_200, 86_400, 3_600, 10**18
CLOCK = Clock(genesis_unix_s=GENESIS, epoch_seconds=DAY, grace_seconds=HOUR, attempt_seconds=2 * HOUR, challenge_seconds=6 * HOUR)
FOUNDER, CUSTOMER, OTHER = (Account(bytes([number]) * 32) for number in (0x11, 0x31, 0x32))
VERIFIERS = [Account(bytes([number]) * 32) for number in (0x21, 0x22, 0x23)]
OWNER = b"\xa1" * 20
CELL, FAR_CELL = 0x8729A004BFFFFFF, 0x872830828FFFFFF
RICH = 10**9
ZONE = 4


@dataclass(frozen=True)
class Host:
    """An asset with its key."""

    kind: str
    number: int
    cell: int = CELL

    @property
    def seed(self) -> bytes:
        return bytes([self.number]) * 32

    @property
    def asset(self) -> bytes:
        return asset_id(ED25519, ed25519.public_key(self.seed), OWNER)

    def offer(self, network: bytes, sequence: int, price: int, per_units: int, until: int, start: int, capacity: int = 1) -> bytes:
        """A signed Entry."""
        key = ed25519.public_key(self.seed)
        signed = pack(
            network=network,
            schema=OFFER,
            subject=self.asset,
            signer=signer_id(ED25519, key),
            sequence=sequence,
            start_unix_s=start,
            interval_seconds=0,
            rows=[[price, per_units, capacity, until, bytes(128)]],
        )
        return signed + ed25519.sign(self.seed, signed)


HOMES = [Host("energy", number) for number in range(0x51, 0x54)]
FAR_HOME = Host("energy", 0x54, FAR_CELL)
DISKS = [Host("storage", number) for number in (0x61, 0x62)]
HOSTS = [*HOMES, FAR_HOME, *DISKS]


@dataclass
class Epoch:
    """What a final epoch says."""

    units: Mapping[bytes, Sequence[int]]
    """Accepted work of each asset's lines."""
    offers: Sequence[bytes] = ()
    """Offers that its Book lists, as signed Entries."""
    forged: Sequence[bytes] = ()
    """Entries that its Book lists first, and whose signatures do not hold."""


class ClerkServer:
    """A verifier's clerk on a port of this machine, with the chain's lanes as they are at each request."""

    def __init__(self, folder: Path, network: Network, rpc: Rpc, me: Account) -> None:
        self.bodies: list[bytes] = []
        """Vouchers that arrived."""
        self.loses_answers = False
        """Whether what it did is not told: the connection ends before the answer."""
        self.channels = Channels(rpc, network.contracts)
        self.clerk = Clerk(folder / "clerk.sqlite", me, network.chain_id, network.contracts.channels, self.channels.close_delay_seconds())
        self.http = VouchersHttp(self.clerk, Lines(folder / "lines.sqlite", self.clerk), Board(), lambda: rpc.block().timestamp)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(self, log_level="critical", lifespan="off", http="h11")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._server.serve([self._socket])), daemon=True)
        self._thread.start()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/v1/status":
            body = msgspec.json.encode({"verifier": "0x" + self.clerk.address.hex()})
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
            await send({"type": "http.response.body", "body": body})
            return
        self.http.know(await asyncio.to_thread(self.channels.lanes))
        if self.loses_answers:
            await self.http(scope, self._recorded(receive), self._dropped)
            raise ConnectionResetError
        await self.http(scope, self._recorded(receive), send)

    def _recorded(self, receive: Any) -> Any:
        async def recorded() -> Any:
            message = await receive()
            if message.get("body"):
                self.bodies.append(message["body"])
            return message

        return recorded

    async def _dropped(self, message: Any) -> None:
        """What would have been sent."""

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()
        self.http.close()
        self.clerk.close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@dataclass
class Shop:
    """The network under a test's hands."""

    chain: LocalChain
    rpc: Rpc
    network: Network
    archive: FolderArchive
    server: ThreadingHTTPServer
    folder: Path
    policy: Hash
    state: State = field(default_factory=State.genesis)
    roots: tuple[bytes, bytes] = (bytes(32), bytes(32))
    clerks: list[ClerkServer] = field(default_factory=list)

    @classmethod
    def open(cls, folder: Path) -> Shop:
        """Deploy, register, stake."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        chain = LocalChain(folder / "chain", port, GENESIS, speed=3600)
        chain.start()
        rpc = Rpc(chain.url)
        for account in (FOUNDER, CUSTOMER, OTHER, *VERIFIERS):
            chain.fund(account.address, 10 * TOKEN)
        archive = FolderArchive(folder / "files" / "archive")
        kinds = {
            "energy": KindPolicy(1, Hash(bytes(32)), {"zone_resolution": ZONE}, {}),
            "storage": KindPolicy(1, Hash(bytes(32)), {}, {}),
        }
        policy = Policy(version=1, late_epochs=2, kinds=kinds, bootstrap=Bootstrap(escrow_epochs=1))
        policy_hash = Hash(hash_json(policy))
        archive.put(f"policy/{policy_hash.hex()}.json", encode(policy))
        plan = Plan(
            name="Shop",
            chain_id=31337,
            clock=CLOCK,
            token=TokenPlan("Subak", "SUBAK", 10**9 * TOKEN, {"0x" + each.address.hex(): 10_000 * TOKEN for each in VERIFIERS}),
            schedule=SchedulePlan(epochs_per_period=9, budget_per_epoch=(TOKEN,), burst=20 * TOKEN, refill_per_second=10**15),
            pools={"bootstrap": 10_000},
            stake=StakePlan(minimum=100 * TOKEN, unbonding_seconds=35 * DAY),
            timelock_seconds=2 * DAY,
            sales=SalesPlan(allocation={"0x" + each.address.hex(): RICH for each in (CUSTOMER, OTHER)}),
            genesis=Genesis(policy=policy_hash),
        )
        contracts = deploy(rpc, FOUNDER, plan)
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder / "files")))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        nodes = Nodes(rpc=chain.url, verifiers=(f"http://127.0.0.1:{server.server_port}",))
        network = Network("Shop", 31337, CLOCK, contracts, nodes, speed=3600)
        shop = cls(chain, rpc, network, archive, server, folder, policy_hash)
        for verifier in VERIFIERS:
            sender = Sender(rpc, verifier)
            sender.send(shop.contract("Token"), "approve", contracts.stake, 2**256 - 1)
            sender.send(shop.contract("Stake"), "join", verifier.address, 1_000 * TOKEN)
        registered = [(OWNER, ED25519, ed25519.public_key(each.seed), word_of(each.kind), each.cell, 10**6) for each in HOSTS]
        Sender(rpc, FOUNDER).send(shop.contract("Assets"), "registerMany", registered)
        return shop

    @property
    def now(self) -> int:
        return self.rpc.block().timestamp

    def contract(self, name: str) -> Contract:
        return contract(self.rpc, self.network.contracts, name)

    def clerk(self, name: str = "clerk", account: Account = VERIFIERS[0]) -> ClerkServer:
        (self.folder / name).mkdir(exist_ok=True)
        self.clerks.append(ClerkServer(self.folder / name, self.network, self.rpc, account))
        return self.clerks[-1]

    def go_to(self, unix_s: int) -> None:
        """Mine a block at that time, or one second later than the last one; the clock stands again after it."""
        self.chain.run_from(unix_s)
        self.chain.freeze()

    def finalise(
        self,
        epochs: Sequence[Epoch],
        sales: Mapping[bytes, tuple[int, int, int]] | None = None,
        carried: Mapping[str, pl.DataFrame] | None = None,
    ) -> Finalised:
        """Make the next epochs final as one range. ``sales``: offers in force after it, price, per units, until when."""
        settlement = Settlement(self.rpc, self.network.contracts)
        first = settlement.view().next_epoch
        last = first + len(epochs) - 1
        self.go_to(max(CLOCK.close_unix_s(last), self.now + 1))
        books, verdicts = [], {}
        for number, epoch in enumerate(epochs, first):
            contents = self._contents(number, epoch)
            self.archive.put(f"book/{hash_json(contents).hex()}.json", encode(contents))
            books.append(hash_json(contents))
            verdicts[str(number)] = self._verdicts(number, epoch)
        self._close(sales, carried)
        attempt = settlement.view().current_attempt
        root = EpochRoot(
            first=first,
            last=last,
            prev_root=self.roots[0],
            root=hash_json([last, "root"]),
            prev_state_root=self.roots[1] if first else State.genesis().root(),
            state_root=write_state(self.archive, self.state),
            asset_root=hash_json([last, "assets"]),
            verdicts_hash=write_tables(self.archive, "verdicts", verdicts),
            rewards=0,
            fees=0,
            book_hashes=tuple(books),
            policy_hashes=(bytes(self.policy),) * len(epochs),
        )
        lead = settlement.lead(first + attempt)
        sender = Sender(self.rpc, next(each for each in VERIFIERS if each.address == lead))
        by_lead = Settlement(self.rpc, self.network.contracts, sender)
        by_lead.open(first, last, attempt, books, self.rpc.block().number)
        self.go_to(settlement.view().sealed_unix_s)
        digest = vote_digest(first, attempt, 0, result_hash(root), 31337, self.network.contracts.settlement)
        by_lead.propose(root, [(each.address, each.sign_digest(digest)) for each in VERIFIERS])
        pending = settlement.view().pending
        assert pending is not None
        self.go_to(pending.deadline_unix_s)
        by_lead.finalize(root)
        self.roots = root.root, root.state_root
        return Follower(self.rpc, self.network.contracts, CLOCK).finalised()[-1]

    def close(self) -> None:
        for clerk in self.clerks:
            clerk.stop()
        self.server.shutdown()
        self.server.server_close()
        self.chain.stop()

    def _contents(self, number: int, epoch: Epoch) -> Contents:
        snapshot = fold(Follower(self.rpc, self.network.contracts, CLOCK).events(), CLOCK, number)
        ref = SnapshotRef(self.rpc.block().number, self.rpc.block().hash, Hash(write_tables(self.archive, "snapshot", snapshot.tables)))
        return Contents(
            network=Hash(self.network.id),
            epoch=number,
            first_unix_s=CLOCK.first_unix_s(number),
            end_unix_s=CLOCK.end_unix_s(number),
            close_unix_s=CLOCK.close_unix_s(number),
            policy=self.policy,
            snapshot=ref,
            segments=tuple(self._segment(entries) for entries in (epoch.forged, epoch.offers) if entries),
            heads=(),
            lines=(),
            previous=Hash(bytes(32)),
            beacon=Hash(bytes(32)),
        )

    def _segment(self, entries: Sequence[bytes]) -> SegmentRef:
        logged = [(place, raw) for place, entry in enumerate(entries) for raw in cut(entry)]
        return write_segment(self.archive, logged, OFFER, self.network.id, Address(VERIFIERS[0].address))

    def _verdicts(self, number: int, epoch: Epoch) -> pl.DataFrame:
        kinds = {each.asset: each.kind for each in HOSTS}
        start = CLOCK.first_unix_s(number)
        rows: list[tuple[Any, ...]] = [
            (asset, f"{kinds[asset]}.reading", 100 * number, start, HOUR, [0] * len(units), list(units))
            for asset, units in epoch.units.items()
        ]
        for entries, reason in ((epoch.forged, 1), (epoch.offers, 0)):
            for raw in (raw for entry in entries for raw in cut(entry)):
                rows.append((raw.subject, OFFER.name, raw.sequence, raw.start_unix_s, 0, [reason], [0]))
        schema: dict[str, Any] = {
            "asset": pl.Binary,
            "schema": pl.String,
            "sequence": pl.UInt64,
            "start_unix_s": pl.Int64,
            "interval_seconds": pl.Int64,
            "reasons": pl.List(pl.UInt8),
            "accepted": pl.List(pl.Int64),
        }
        return pl.DataFrame(rows, schema=schema, orient="row")

    def _close(self, sales: Mapping[bytes, tuple[int, int, int]] | None, carried: Mapping[str, pl.DataFrame] | None) -> None:
        tables = dict(self.state.tables)
        if sales is not None:
            rows = [(asset, price, per, until, 0, 0, 0, 0) for asset, (price, per, until) in sorted(sales.items())]
            whole: dict[str, Any] = {name: pl.Int128 if dtype == MONEY else dtype for name, dtype in SALES.items()}
            tables["sales"] = pl.DataFrame(rows, schema=whole, orient="row").cast(dict(SALES))  # type: ignore[arg-type]
        tables |= {f"carried.{kind}": table for kind, table in (carried or {}).items()}
        self.state = State.from_tables(tables)
