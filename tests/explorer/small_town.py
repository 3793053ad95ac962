"""A small town for tests: recorded homes on a real chain, settled by the real core, its archive in a folder. No verifier runs here, so a
test can play a dishonest one. What else may happen in it, disks and customers and shared assets, is played by ``market``."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import polars as pl

from subak.archive.books import load_book, read_policy, read_state, write_state
from subak.archive.segments import write_segment
from subak.archive.store import FolderArchive
from subak.archive.tables import write_limit_table, write_lines, write_tables
from subak.chain.accounts import Account
from subak.chain.attestations import Attestations
from subak.chain.contracts import Sender
from subak.chain.deploy import Genesis as GenesisPlan
from subak.chain.deploy import Plan, SalesPlan, SchedulePlan, StakePlan, TokenPlan, contract, deploy, word_of
from subak.chain.local import LocalChain
from subak.chain.rpc import Rpc
from subak.chain.settlement import Settlement as SettlementContract
from subak.chain.snapshot import Follower
from subak.core.canon import ed25519
from subak.core.canon.columns import columns_hash
from subak.core.canon.entry import RawEntry, Value, cut, pack
from subak.core.canon.ids import ED25519, asset_id, signer_id
from subak.core.canon.json import encode, hash_json
from subak.core.canon.typed_data import EpochRoot, result_hash, vote_digest
from subak.core.kind import Schema
from subak.core.nouns import (
    Bootstrap,
    Clock,
    Contents,
    Contracts,
    Correction,
    Hash,
    KindPolicy,
    Network,
    Policy,
    SegmentRef,
    Settlement,
    State,
    Usage,
)
from subak.core.settlement import POSSESSION, epoch_root, payout_tree, settle_range, verdict_tables
from subak.core.settlement.money import INSTALLED, USAGE
from subak.core.settlement.roots import asset_tree
from subak.kinds.energy.rules.schemas import CLEAR_SKY, PARAMETERS, READING
from subak.kinds.registry import installed, rules_for, rules_hash
from subak.kinds.storage.rules.schemas import TASKS_PER_DAY
from subak.lab.recording import CELL, Cheat, june_2017
from subak.lab.recording import CLEAR_SKY as CLEAR_SKY_FILE

GENESIS_UNIX_S = 1_496_300_400
"""2017-06-01 07:00 UTC, where the recording begins."""
EPOCH_S, HOUR_S = 86_400, 3_600
BUDGET = 2_739_726_027_397_260_273_972
CHEATS = {3: Cheat.DOUBLED, 4: Cheat.NIGHT_EXPORT}
VERIFIERS = 3
DISK_KIB = 1024
TASKS = 6
"""Of a disk, in an epoch."""
PLAIN = 10**9
"""Sequences of what a device says beside its readings begin here."""


@dataclass(frozen=True)
class Device:
    """Something that earns, with its keys: a recorded home, or a disk."""

    number: int
    owner: Account
    seed: bytes

    @property
    def key(self) -> bytes:
        return ed25519.public_key(self.seed)

    @property
    def asset(self) -> bytes:
        return asset_id(ED25519, self.key, self.owner.address)


@dataclass(frozen=True)
class Wishes:
    """What a town has beside homes."""

    disks: int = 0
    sales: SalesPlan = field(default_factory=SalesPlan)
    tokens: dict[str, int] = field(default_factory=dict)
    corrections: Callable[[Sequence[Device]], tuple[Correction, ...]] = lambda homes: ()
    usage_k_bps: int = 0


Spoken = Iterable[tuple[Schema, RawEntry]]
Lie = Callable[[Sequence[Settlement], EpochRoot], tuple[Sequence[Settlement], EpochRoot]]
"""What dishonest verifiers publish and sign instead of what the Books come to."""


@dataclass
class Town:
    """The network, and what it takes to go on with it."""

    chain: LocalChain
    rpc: Rpc
    network: Network
    archive: FolderArchive
    homes: Sequence[Device]
    disks: Sequence[Device]
    sender: Sender
    verifiers: Sequence[Account]
    policy_hash: bytes
    follower: Follower
    more: Callable[[Contents], Spoken] = lambda contents: ()
    """What is said in an epoch beside possessions and readings; it is told how the Book begins."""
    lines: Callable[[int], Sequence[pl.DataFrame]] = lambda epoch: ()
    """Tables of lines that the Book of an epoch lists."""
    lives: Callable[[int], None] = lambda epoch: None
    """What happens on the chain in the middle of an epoch."""
    next_epoch: int = 0
    positions: int = 0
    plain: int = PLAIN
    state_root: bytes = field(default_factory=lambda: State.genesis().root())

    def close_epochs(self, count: int = 1, lie: Lie | None = None, pay: bool = True) -> Sequence[Settlement]:
        """Live through ``count`` epochs and settle them as one range."""
        first, last = self.next_epoch, self.next_epoch + count - 1
        for epoch in range(first, last + 1):
            if epoch > 0:
                self.chain.run_from(self.network.clock.first_unix_s(epoch) + EPOCH_S // 2)
                self.chain.freeze()
            self.lives(epoch)
        self.chain.run_from(self.network.clock.close_unix_s(last))
        self.chain.freeze()
        for _ in range(3):
            self.chain.mine()
        books = [self._book(epoch) for epoch in range(first, last + 1)]
        hashes = [hash_json(book) for book in books]
        settlement = SettlementContract(self.rpc, self.network.contracts, self.sender)
        view = settlement.view()
        lead = settlement.lead(first + view.current_attempt)
        me = next(each for each in self.verifiers if each.address == lead)
        as_lead = SettlementContract(self.rpc, self.network.contracts, Sender(self.rpc, me))
        as_lead.open(first, last, view.current_attempt, hashes, books[-1].snapshot.block)

        kinds = [rules_for(read_policy(self.archive, self.policy_hash)) for _ in books]
        loaded = [load_book(self.archive, each, rules) for each, rules in zip(hashes, kinds, strict=True)]
        before = read_state(self.archive, self.state_root)
        settled: Sequence[Settlement] = settle_range(loaded, before, kinds)
        message = epoch_root(settled, loaded, view.root, view.state_root)
        if lie:
            settled, message = lie(settled, message)
        for each in settled:
            write_state(self.archive, each.state)
        write_tables(self.archive, "verdicts", verdict_tables(settled))
        self.chain.run_from(settlement.view().sealed_unix_s)
        self.chain.freeze()
        vote = (first, view.current_attempt, 0, result_hash(message))
        digest = vote_digest(*vote, self.network.chain_id, self.network.contracts.settlement)
        settlement.propose(message, [(each.address, each.sign_digest(digest)) for each in self.verifiers])
        self.chain.run_from(self.chain.now() + self.network.clock.challenge_seconds + 1)
        self.chain.freeze()
        settlement.finalize(message)
        self.next_epoch, self.state_root = last + 1, message.state_root
        if pay:
            self._pay(settled[-1], settlement)
        return settled

    def entries(self, home: Device, epoch: int) -> tuple[list[RawEntry], list[RawEntry]]:
        """What the home signs in an epoch: its possession in the first, an Entry for every six hours."""
        start = self.network.clock.first_unix_s(epoch)
        possession = [self.signed(home, POSSESSION, 0, start, 0, [[bytes(home.owner.address)]])] if epoch == 0 else []
        readings = []
        for at in range(start, start + EPOCH_S, 6 * HOUR_S):
            rows = []
            for end in range(at + HOUR_S, at + 7 * HOUR_S, HOUR_S):
                counters = june_2017().counters_at(home.number, end, CHEATS.get(home.number))
                rows.append([counters.export_wh, counters.import_wh, counters.generation_wh])
            readings.append(self.signed(home, READING, at // HOUR_S, at, HOUR_S, rows))
        return possession, readings

    def say(self, home: Device, schema: Schema, start: int, interval: int, rows: Sequence[Sequence[Value]]) -> tuple[Schema, RawEntry]:
        """An Entry under the next free sequence, as ``more`` gives them."""
        self.plain += 1
        return schema, self.signed(home, schema, self.plain, start, interval, rows)

    def signed(self, home: Device, schema: Schema, sequence: int, start: int, interval: int, rows: Sequence[Sequence[Value]]) -> RawEntry:
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
        return next(iter(cut(signed + ed25519.sign(home.seed, signed))))

    def _book(self, epoch: int) -> Contents:
        found = self.follower.snapshot(epoch)
        assert found is not None
        ref, snapshot = found
        write_tables(self.archive, "snapshot", snapshot.tables)
        clock = self.network.clock
        previous, beacon = self.follower.beacon(epoch)
        contents = Contents(
            network=Hash(self.network.id),
            epoch=epoch,
            first_unix_s=clock.first_unix_s(epoch),
            end_unix_s=clock.end_unix_s(epoch),
            close_unix_s=clock.close_unix_s(epoch),
            policy=Hash(self.policy_hash),
            snapshot=ref,
            segments=(),
            heads=(),
            lines=tuple(Hash(write_lines(self.archive, table)) for table in self.lines(epoch)),
            previous=previous,
            beacon=beacon,
        )
        spoken: dict[Schema, list[RawEntry]] = {POSSESSION: [], READING: []}
        for home in self.homes:
            possession, readings = self.entries(home, epoch)
            spoken[POSSESSION] += possession
            spoken[READING] += readings
        for schema, entry in self.more(contents):
            spoken.setdefault(schema, []).append(entry)
        contents = msgspec.structs.replace(contents, segments=tuple(self._segment(schema, some) for schema, some in spoken.items() if some))
        self.archive.put(f"book/{hash_json(contents).hex()}.json", encode(contents))
        return contents

    def _segment(self, schema: Schema, entries: Sequence[RawEntry]) -> SegmentRef:
        ref = write_segment(self.archive, list(enumerate(entries, self.positions)), schema, self.network.id, self.verifiers[0].address)
        self.positions += len(entries)
        return ref

    def _pay(self, settled: Settlement, settlement: SettlementContract) -> None:
        """Every second account takes what it is owed, so that books and wallets differ; contracts take nothing by themselves."""
        table = settled.state.accounts.with_columns(pl.col("rewards", "fees").cast(pl.Int128))
        for place, (account, rewards, fees) in enumerate(table.iter_rows()):
            if self.rpc.code(account):
                continue
            rewards_taken, fees_taken = settlement.taken(account)
            if place % 2 == 0 and rewards > rewards_taken:
                settlement.claim(account, rewards, fees, settled.tree.proof(place))
            if place % 2 == 0 and fees > fees_taken:
                settlement.claim_fees(account, rewards, fees, settled.tree.proof(place))


def build_town(folder: Path, homes: Sequence[int] = (1, 2, 3, 4), wishes: Wishes | None = None) -> Town:
    """A chain with contracts, verifiers and homes, before epoch 0. Stop ``town.chain`` afterwards."""
    chain = LocalChain(folder / "chain", _free_port(), GENESIS_UNIX_S, speed=3600)
    chain.start()
    try:
        return _found(chain, folder, [_device(b"home", number) for number in homes], wishes or Wishes())
    except BaseException:
        chain.stop()
        raise


def _found(chain: LocalChain, folder: Path, homes: Sequence[Device], wishes: Wishes) -> Town:
    rpc = Rpc(chain.url)
    archive = FolderArchive(folder / "archive")
    founder, verifiers = account(1000), [account(1001 + place) for place in range(VERIFIERS)]
    disks = [_device(b"disk", number) for number in range(101, 101 + wishes.disks)]
    for each in (founder, *verifiers):
        chain.fund(each.address, 10**21)
    policy = _policy(archive, homes, wishes)
    clock = Clock(GENESIS_UNIX_S, EPOCH_S, HOUR_S, 6 * HOUR_S, 6 * HOUR_S)
    plan = Plan(
        name="small-town",
        chain_id=rpc.chain_id(),
        clock=clock,
        token=TokenPlan("Subak", "SUBAK", 10**27, {"0x" + each.address.hex(): 10**22 for each in verifiers} | wishes.tokens),
        schedule=SchedulePlan(365, (BUDGET,), 40 * BUDGET, BUDGET // EPOCH_S + 1),
        pools={"energy": 9_000, USAGE: 1_000} if wishes.usage_k_bps else {"energy": 10_000},
        stake=StakePlan(10**21, 35 * EPOCH_S),
        sales=wishes.sales,
        issuers={INSTALLED: ["0x" + founder.address.hex()]},
        timelock_seconds=3 * EPOCH_S,
        genesis=GenesisPlan(Hash(policy), Hash(State.genesis().root())),
    )
    contracts: Contracts = deploy(rpc, founder, plan)
    sender = Sender(rpc, founder)
    for each in verifiers:
        mine = Sender(rpc, each)
        mine.send(contract(rpc, contracts, "Token"), "approve", contracts.stake, 10**21)
        mine.send(contract(rpc, contracts, "Stake"), "join", each.address, 10**21)
    rated = {home.number: june_2017().rated_w(home.number) for home in homes}
    registered = [(home.owner.address, ED25519, home.key, word_of("energy"), CELL, rated[home.number]) for home in homes]
    registered += [(disk.owner.address, ED25519, disk.key, word_of("storage"), CELL, DISK_KIB) for disk in disks]
    sender.send(contract(rpc, contracts, "Assets"), "registerMany", registered)
    issuer = Attestations(rpc, contracts, sender)
    for home in homes:
        issuer.attest(home.asset, INSTALLED, GENESIS_UNIX_S + 365 * EPOCH_S)
    network = Network("small-town", rpc.chain_id(), clock, contracts, speed=3600)
    archive.put("network.json", encode(network), replace=True)
    follower = Follower(rpc, contracts, clock)
    return Town(chain, rpc, network, archive, homes, disks, sender, verifiers, policy, follower)


def _policy(archive: FolderArchive, homes: Sequence[Device], wishes: Wishes) -> bytes:
    energy, storage = (installed()[name].rules for name in ("energy", "storage"))
    table = write_limit_table(archive, pl.read_parquet(CLEAR_SKY_FILE))
    policy = Policy(
        version=1,
        late_epochs=7,
        kinds={
            "energy": KindPolicy(energy.version, Hash(rules_hash(energy)), dict(PARAMETERS), {CLEAR_SKY: Hash(table)}),
            "storage": KindPolicy(storage.version, Hash(rules_hash(storage)), {TASKS_PER_DAY: TASKS}, {}),
        },
        bootstrap=Bootstrap(escrow_epochs=0),
        usage=Usage(wishes.usage_k_bps),
        corrections=wishes.corrections(homes),
    )
    archive.put(f"policy/{hash_json(policy).hex()}.json", encode(policy))
    return hash_json(policy)


def account(number: int) -> Account:
    return Account(number.to_bytes(32, "big"))


def _device(name: bytes, number: int) -> Device:
    return Device(number, account(number), struct.pack(">32s", b"%s %d" % (name, number)))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def lie_about_one_home(asset: bytes) -> Lie:
    """All verifiers agree to pay one account a whole token more, to call one line accepted that is not, and say so in the state."""

    def lie(settled: Sequence[Settlement], message: EpochRoot) -> tuple[Sequence[Settlement], EpochRoot]:
        last = settled[-1]
        row = next(at for at, each in enumerate(last.state.assets["asset"]) if each == asset)
        richer = last.state.accounts["rewards"].cast(pl.Int128).to_list()
        richer[0] += 1
        units = last.state.assets["units"].to_list()
        units[row] += 7
        state = replace(
            last.state,
            accounts=last.state.accounts.with_columns(pl.Series("rewards", richer, dtype=pl.Int128).cast(pl.Decimal(38, 0))),
            assets=last.state.assets.with_columns(pl.Series("units", units)),
        )
        reasons = last.verdicts["reasons"].to_list()
        at = next(at for at, codes in enumerate(reasons) if any(codes))
        reasons[at] = [0] * len(reasons[at])
        verdicts = last.verdicts.with_columns(pl.Series("reasons", reasons, dtype=pl.List(pl.UInt8)))
        false = replace(
            last, state=state, state_root=state.root(), tree=payout_tree(state), asset_tree=asset_tree(state), verdicts=verdicts
        )
        said = [*settled[:-1], false]
        return said, replace(
            message,
            root=false.tree.root,
            state_root=false.state_root,
            asset_root=false.asset_tree.root,
            verdicts_hash=columns_hash(verdict_tables(said)),
        )

    return lie
