"""A network whose epochs are written down in place of lived through: real contracts on a real chain, a real archive over HTTP, final states
as a test wants them. And the door, as a person or a program uses it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import polars as pl
from typer.testing import CliRunner

from subak.archive.books import write_state
from subak.archive.store import FolderArchive
from subak.archive.tables import write_tables
from subak.chain.accounts import Account
from subak.chain.contracts import Contract, Sender
from subak.chain.deploy import Genesis, Plan, SalesPlan, SchedulePlan, StakePlan, TokenPlan, contract, deploy
from subak.chain.local import LocalChain
from subak.chain.network_file import write_network
from subak.chain.rpc import Rpc
from subak.chain.settlement import Settlement
from subak.chain.snapshot import Finalised, Follower, fold
from subak.cli.faults import in_words
from subak.cli.main import app
from subak.core.canon.json import encode, hash_json
from subak.core.canon.typed_data import EpochRoot, result_hash, vote_digest
from subak.core.nouns import Bootstrap, Clock, Contents, Hash, Network, Nodes, Policy, SnapshotRef, State
from subak.core.nouns.state import ACCOUNTS, ASSETS
from subak.core.settlement import payout_tree
from subak.core.settlement.roots import asset_tree

GENESIS, DAY, HOUR, TOKEN, DOLLAR = 1_514_419_200, 86_400, 3_600, 10**18, 10**6
"""Genesis: 28 December 2017, 00:00 UTC."""
CLOCK = Clock(genesis_unix_s=GENESIS, epoch_seconds=DAY, grace_seconds=HOUR, attempt_seconds=2 * HOUR, challenge_seconds=6 * HOUR)
FOUNDER, ISSUER, BUILDER, ALICE, BOB, VERIFIER = (Account(bytes([number]) * 32) for number in range(0x11, 0x17))
RICH = 1_000 * DOLLAR
CELL = "8729a004bffffff"


@dataclass(frozen=True)
class Done:
    """What a command did."""

    code: int
    """Exit code."""
    out: str
    """Standard output."""
    err: str
    """Standard error, and the line that the door says about a known fault."""

    def json(self) -> Any:
        """What it told a program."""
        assert self.code == 0, self.out + self.err
        return json.loads(self.out)


def door(*arguments: object) -> Done:
    """A command through the door, in this process; a fault that the door does not know is raised."""
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    err = result.stderr
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        words = in_words(result.exception)
        if words is None:
            raise result.exception
        err += words
    return Done(result.exit_code, result.stdout, err)


def key_file(folder: Path, account: Account) -> Path:
    """The account's key, as a file that the door takes."""
    path = folder / f"{account.address.hex()}.key"
    if not path.exists():
        path.touch(0o600)
        path.write_text(account._key.secret.hex())
    return path


class _Answers(SimpleHTTPRequestHandler):
    """The archive's files, and who this verifier is."""

    def __init__(self, *given: Any, told: Mapping[str, bytes], **more: Any) -> None:
        self.told = told
        super().__init__(*given, **more)

    def do_GET(self) -> None:
        body = self.told.get(self.path.partition("?")[0])
        if body is None:
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@dataclass
class Paper:
    """The network under a test's hands."""

    chain: LocalChain
    rpc: Rpc
    network: Network
    archive: FolderArchive
    server: ThreadingHTTPServer
    folder: Path
    policy: Hash
    told: dict[str, bytes] = field(default_factory=dict)
    """What the verifier answers, by path."""
    state: State = field(default_factory=State.genesis)
    roots: tuple[bytes, bytes] = (bytes(32), bytes(32))

    @classmethod
    def open(cls, folder: Path) -> Paper:
        """Deploy, stake, serve."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        chain = LocalChain(folder / "chain", port, GENESIS, speed=3600)
        chain.start()
        rpc = Rpc(chain.url)
        for account in (FOUNDER, ISSUER, BUILDER, ALICE, BOB, VERIFIER):
            chain.fund(account.address, 10 * TOKEN)
        archive = FolderArchive(folder / "files" / "archive")
        policy = Policy(version=1, late_epochs=2, kinds={}, bootstrap=Bootstrap(escrow_epochs=0))
        archive.put(f"policy/{hash_json(policy).hex()}.json", encode(policy))
        plan = Plan(
            name="Paper",
            chain_id=31337,
            clock=CLOCK,
            token=TokenPlan("Subak", "SUBAK", 10**9 * TOKEN, {"0x" + VERIFIER.address.hex(): 10_000 * TOKEN}),
            schedule=SchedulePlan(epochs_per_period=99, budget_per_epoch=(1000 * TOKEN,), burst=10**5 * TOKEN, refill_per_second=10**17),
            pools={"energy": 10_000},
            stake=StakePlan(minimum=100 * TOKEN, unbonding_seconds=35 * DAY),
            timelock_seconds=2 * DAY,
            sales=SalesPlan(allocation={"0x" + each.address.hex(): RICH for each in (ALICE, BOB)}),
            issuers={"installed": ["0x" + ISSUER.address.hex()], "person": ["0x" + ISSUER.address.hex()]},
            genesis=Genesis(policy=Hash(hash_json(policy))),
        )
        contracts = deploy(rpc, FOUNDER, plan)
        told: dict[str, bytes] = {}
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Answers, directory=str(folder / "files"), told=told))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        nodes = Nodes(rpc=chain.url, verifiers=(f"http://127.0.0.1:{server.server_port}",))
        network = Network("Paper", 31337, CLOCK, contracts, nodes, speed=3600)
        archive.put("network.json", encode(network), replace=True)
        write_network(folder / "network.toml", network)
        told["/v1/status"] = encode({"verifier": VERIFIER.address, "network": network.id})
        sender = Sender(rpc, VERIFIER)
        sender.send(contract(rpc, contracts, "Token"), "approve", contracts.stake, 2**256 - 1)
        sender.send(contract(rpc, contracts, "Stake"), "join", VERIFIER.address, 1_000 * TOKEN)
        return cls(chain, rpc, network, archive, server, folder, Hash(hash_json(policy)), told)

    @property
    def file(self) -> Path:
        """network.toml"""
        return self.folder / "network.toml"

    @property
    def public(self) -> tuple[str, ...]:
        """Options of commands that need an archive and a chain."""
        return "--archive", f"{self.network.nodes.verifiers[0]}/archive", "--rpc", self.network.nodes.rpc

    @property
    def now(self) -> int:
        return self.rpc.block().timestamp

    def key(self, account: Account) -> Path:
        return key_file(self.folder, account)

    def contract(self, name: str) -> Contract:
        return contract(self.rpc, self.network.contracts, name)

    def go_to(self, unix_s: int) -> None:
        """Mine a block at that time, or one second later than the last one; the clock stands again after it."""
        self.chain.run_from(unix_s)
        self.chain.freeze()

    def finalise(
        self, accounts: Mapping[bytes, tuple[int, int]], assets: Mapping[bytes, tuple[int, int, int, int]], epochs: int = 1
    ) -> Finalised:
        """Make the next epochs final as one range. Totals ever: rewards, fees of accounts; units, rewards, fees, paid epochs of assets."""
        settlement = Settlement(self.rpc, self.network.contracts, Sender(self.rpc, VERIFIER))
        first = settlement.view().next_epoch
        last = first + epochs - 1
        self.go_to(max(CLOCK.close_unix_s(last), self.now + 1))
        books = []
        for number in range(first, last + 1):
            contents = self._contents(number)
            self.archive.put(f"book/{hash_json(contents).hex()}.json", encode(contents))
            books.append(hash_json(contents))
        self._close(accounts, assets)
        attempt = settlement.view().current_attempt
        root = EpochRoot(
            first=first,
            last=last,
            prev_root=self.roots[0],
            root=payout_tree(self.state).root,
            prev_state_root=self.roots[1] if first else State.genesis().root(),
            state_root=write_state(self.archive, self.state),
            asset_root=asset_tree(self.state).root,
            verdicts_hash=hash_json([last, "verdicts"]),
            rewards=sum(rewards for rewards, _ in accounts.values()),
            fees=0,
            book_hashes=tuple(books),
            policy_hashes=(bytes(self.policy),) * epochs,
        )
        settlement.open(first, last, attempt, books, self.rpc.block().number)
        self.go_to(settlement.view().sealed_unix_s)
        digest = vote_digest(first, attempt, 0, result_hash(root), 31337, self.network.contracts.settlement)
        settlement.propose(root, [(VERIFIER.address, VERIFIER.sign_digest(digest))])
        pending = settlement.view().pending
        assert pending is not None
        self.go_to(pending.deadline_unix_s)
        settlement.finalize(root)
        self.roots = root.root, root.state_root
        return Follower(self.rpc, self.network.contracts, CLOCK).finalised()[-1]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.chain.stop()

    def _contents(self, number: int) -> Contents:
        snapshot = fold(Follower(self.rpc, self.network.contracts, CLOCK).events(), CLOCK, number)
        ref = SnapshotRef(self.rpc.block().number, self.rpc.block().hash, Hash(write_tables(self.archive, "snapshot", snapshot.tables)))
        times = (CLOCK.first_unix_s(number), CLOCK.end_unix_s(number), CLOCK.close_unix_s(number))
        nothing = Hash(bytes(32))
        return Contents(Hash(self.network.id), number, *times, self.policy, ref, (), (), (), nothing, nothing)

    def _close(self, accounts: Mapping[bytes, tuple[int, int]], assets: Mapping[bytes, tuple[int, int, int, int]]) -> None:
        paid = [(bytes(account), *totals) for account, totals in sorted(accounts.items())]
        earned = [(asset, True, *totals) for asset, totals in sorted(assets.items())]
        tables = dict(self.state.tables) | {"accounts": _table(paid, ACCOUNTS), "assets": _table(earned, ASSETS)}
        self.state = State.from_tables(tables)


def _table(rows: list[tuple[Any, ...]], schema: Mapping[str, Any]) -> pl.DataFrame:
    whole = {name: pl.Int128 if isinstance(dtype, pl.Decimal) else dtype for name, dtype in schema.items()}
    return pl.DataFrame(rows, schema=whole, orient="row").cast(dict(schema))  # type: ignore[arg-type]
