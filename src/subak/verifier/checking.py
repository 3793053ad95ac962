"""Recomputing an epoch from public data: an archive, a chain and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

import msgspec
import numpy as np
import polars as pl

from subak.archive.books import load_book, read_before, read_contents, read_policy
from subak.archive.store import Archive, ArchiveError, NotThere, check_path
from subak.archive.tables import parse_parquet, read_tables
from subak.chain import succession
from subak.chain.contracts import ChainRefused
from subak.chain.deploy import contract
from subak.chain.rpc import Rpc
from subak.chain.settlement import Settlement as SettlementContract
from subak.chain.snapshot import Finalised, Follower
from subak.core.canon.typed_data import EpochRoot
from subak.core.kind import Reason, Rules
from subak.core.nouns import Book, Contents, Network, Settlement, Snapshot, State, decode
from subak.core.nouns.state import ACCOUNTS
from subak.core.settlement import epoch_root, payout_tree, reason_table, settle_range
from subak.kinds.registry import KindMismatch, rules_for

NOT_PUBLISHED = "(nothing)"
"""Stands for a value that one side lacks."""
_KEYS = {
    "assets": ("asset",),
    "accounts": ("account",),
    "escrow": ("release_epoch", "asset", "pool"),
    "pools": ("pool",),
    "lanes": ("lane",),
    "lines": ("lane", "asset"),
    "sales": ("asset",),
    "debts": ("asset", "currency", "creditor"),
    "sealed": ("epoch",),
    "commits": ("signer",),
    "verifiers": ("signer",),
}
_NO_ROOT = bytes(32)

T = TypeVar("T")


class CannotCheck(RuntimeError):
    """Nothing was compared; the text says why and what to do."""


@dataclass(frozen=True)
class Fact:
    """One thing that the chain, or a Book, says and that was computed again."""

    name: str
    """What: ``root``, ``stateRoot``, ``book 3: snapshot`` …"""
    published: str
    """As it stands on the chain or in the Book."""
    recomputed: str
    """As it comes out here."""

    @property
    def same(self) -> bool:
        return self.published == self.recomputed


@dataclass(frozen=True)
class Difference:
    """The first place where a published table is not what comes out here."""

    table: str
    """``verdicts``, ``state``, ``leaves`` or ``snapshot``."""
    place: Mapping[str, str]
    """Where in it: epoch, asset, column …, by name."""
    published: str
    """What was published there."""
    recomputed: str
    """What comes out here."""

    def __str__(self) -> str:
        where = ", ".join(f"{name} {value}" for name, value in self.place.items())
        return f"{self.table}: {where}: published {self.published}, recomputed {self.recomputed}"


@dataclass(frozen=True)
class Fault:
    """A file of the archive that is missing or not what its name says."""

    path: str
    """Its name in the archive, which holds its hash."""
    detail: str
    """What is wrong with it."""

    def __str__(self) -> str:
        return self.detail if self.path in self.detail else f"{self.path}: {self.detail}"


@dataclass(frozen=True)
class CheckResult:
    """What became of checking one epoch."""

    epoch: int
    """The epoch that was asked about."""
    first: int
    """First epoch of the range that it was settled in."""
    last: int
    """Last epoch of that range."""
    network: str
    """Network id, 0x hex: compare it with the one you expect."""
    settlement: str
    """Address of the Settlement contract, 0x hex: compare it too."""
    block: int
    """Height of the block in which the range became final."""
    transaction: str
    """Hash of the transaction that made it final, 0x hex."""
    facts: tuple[Fact, ...]
    """Everything that was compared, one by one."""
    differences: tuple[Difference, ...]
    """First differing line of verdicts, state and leaves, where a fact differs."""
    faults: tuple[Fault, ...]
    """Files that are missing or corrupt. Without its inputs an epoch cannot be computed again."""
    recomputed: bool
    """Whether it came to a root at all."""
    summary: Mapping[str, int] = field(default_factory=dict)
    """The epoch as it comes out here: accepted, held, refused (lines), paid, minted, unallocated (base units of the token)."""

    @property
    def same(self) -> bool:
        """Whether everything on the chain is what comes out here."""
        return self.recomputed and not self.differences and all(fact.same for fact in self.facts)

    @property
    def passed(self) -> bool:
        """``same``, and every published file is what its name says."""
        return self.same and not self.faults

    def words(self) -> str:
        """The result for people: "same root", or which line differs."""
        name = f"epoch {self.epoch}" if self.first == self.last else f"epoch {self.epoch} (settled with {self.first} to {self.last})"
        lines = [f"{name}: {self._verdict()}"]
        differing = (fact for fact in self.facts if not fact.same)
        lines += [f"  {fact.name} differs: published {fact.published}, recomputed {fact.recomputed}" for fact in differing]
        lines += [f"  first differing line, {difference}" for difference in self.differences]
        lines += [f"  archive: {fault}" for fault in self.faults]
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """The result for programs: plain values only, amounts as text."""
        facts = [{**asdict(fact), "same": fact.same} for fact in self.facts]
        summary = {name: str(value) if name in ("paid", "minted", "unallocated") else value for name, value in self.summary.items()}
        return {"same": self.same, "passed": self.passed, **asdict(self), "facts": facts, "summary": summary}

    def _verdict(self) -> str:
        if self.passed:
            return f"same root {next(fact.published for fact in self.facts if fact.name == 'root')}"
        if self.same:
            return "same root, but the archive does not hold what was published"
        return "not the same" if self.recomputed else "cannot be recomputed"


def check(epoch: int, archive: Archive, rpc: Rpc, say: Callable[[str], None] = lambda words: None) -> CheckResult:
    """Compute the range that holds ``epoch`` again and compare everything with what became final on the chain.

    Starts from the archive and the chain alone and trusts neither the archive nor the verifiers: every file is checked against a hash from
    the chain, every signature and snapshot is computed anew. Which network it is, is the reader's to compare: the result names it.
    ``say`` hears what happens, a line at a time.
    Errors: CannotCheck if there is nothing to compare; RpcUnreachable and RpcError from the chain.
    """
    network = known_network(archive, rpc)
    follower = Follower(rpc, network.contracts, network.clock)
    every = follower.history()
    final = next((final for final in every if final.first <= epoch <= final.last), None)
    if final is None:
        newest = f"the newest final one is {every[-1].last}" if every else "none is"
        raise CannotCheck(f"epoch {epoch} is not final, {newest}: ask again when its challenge window is over")
    if final.settlement != network.contracts.settlement:
        network = _as_it_was(rpc, network, final.settlement)
        follower = Follower(rpc, network.contracts, network.clock)
    say(f"{network.name}: chain {network.chain_id}, Settlement {_hex(network.contracts.settlement)}, network {_hex(network.id)}")
    finals = follower.finalised()
    at = finals.index(final)
    previous = finals[at - 1] if at else None
    say(f"epochs {final.first} to {final.last}: final since block {final.block}, transaction {_hex(final.transaction)}")
    return _Checking(network, archive, follower, final, previous, say).run(epoch)


def known_network(archive: Archive, rpc: Rpc) -> Network:
    """The network that the archive names, as far as the chain says the same: chain id, contracts, clock; with the Settlement that is served
    now, if a vote replaced the one that the archive names.

    Errors: CannotCheck naming what disagrees; RpcUnreachable, RpcError.
    """
    try:
        network = decode(archive.get("network.json"), Network)
    except ArchiveError as error:
        raise CannotCheck(f"{error}: is this the address of a verifier's /archive?") from error
    except (msgspec.DecodeError, ValueError) as error:
        raise CannotCheck(f"network.json in {archive!r}: {error}") from error
    if network.chain_id != rpc.chain_id():
        raise CannotCheck(f"{archive!r} is of a network on chain {network.chain_id}, {rpc.url} is chain {rpc.chain_id()}")
    for name in network.contracts.__struct_fields__:
        address = getattr(network.contracts, name)
        if any(address) and not rpc.code(address):
            raise CannotCheck(f"there is no contract at {_hex(address)}, which {archive!r} calls {name}: is {rpc.url} the right chain?")
    try:
        clock = SettlementContract(rpc, network.contracts).clock()
        settlement = contract(rpc, network.contracts, "Settlement")
        tied = settlement.call_many([(name, ()) for name in ("TOKEN", "BUDGET", "WEIGHTS", "AUTHORITY")])
    except (ChainRefused, ValueError) as error:
        raise CannotCheck(f"{_hex(network.contracts.settlement)} is no Settlement of Subak: {error}") from error
    if clock != network.clock:
        raise CannotCheck(f"{archive!r} gives the clock as {network.clock}, the contract as {clock}")
    named = (network.contracts.token, network.contracts.minter, network.contracts.stake, network.contracts.timelock)
    for name, on_chain, said in zip(("token", "minter", "stake", "timelock"), tied, named, strict=True):
        if on_chain != said:
            raise CannotCheck(f"{archive!r} gives {name} as {_hex(said)}, the Settlement contract as {_hex(on_chain)}")
    try:
        return succession.current(rpc, network)
    except (ChainRefused, ValueError, succession.SuccessionRefused) as error:
        raise CannotCheck(f"{archive!r} names {_hex(network.contracts.settlement)}: {error}") from error


def _as_it_was(rpc: Rpc, network: Network, settlement: bytes) -> Network:
    """The network under an earlier Settlement."""
    contracts = next(each for each in succession.lineage(rpc, network.contracts) if each.settlement == settlement)
    return msgspec.structs.replace(network, contracts=contracts, clock=SettlementContract(rpc, contracts).clock())


class _Broken(Exception):
    """An input is missing or corrupt."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


class _Checking:
    """One range on its way."""

    def __init__(
        self,
        network: Network,
        archive: Archive,
        follower: Follower,
        final: Finalised,
        previous: Finalised | None,
        say: Callable[[str], None],
    ) -> None:
        self._network, self._archive, self._follower, self._say = network, archive, follower, say
        self._final, self._previous = final, previous
        self._facts: list[Fact] = []
        self._differences: list[Difference] = []
        self._faults: list[Fault] = []
        self._reasons: Mapping[tuple[str, int], Reason] = {}

    def run(self, epoch: int) -> CheckResult:
        settled: Sequence[Settlement] = ()
        try:
            settled = self._recompute()
        except _Broken as broken:
            self._faults.append(broken.fault)
        if settled:
            self._compare_published(settled)
        of_epoch = next((each.summary for each in settled if each.epoch == epoch), None)
        names = ("accepted", "held", "refused", "paid", "minted", "unallocated")
        return CheckResult(
            epoch=epoch,
            first=self._final.first,
            last=self._final.last,
            network=_hex(self._network.id),
            settlement=_hex(self._network.contracts.settlement),
            block=self._final.block,
            transaction=_hex(self._final.transaction),
            facts=tuple(self._facts),
            differences=tuple(self._differences),
            faults=tuple(self._faults),
            recomputed=bool(settled),
            summary={name: getattr(of_epoch, name) for name in names} if of_epoch else {},
        )

    def _recompute(self) -> Sequence[Settlement]:
        """Settle the Books again, if they are what the chain says. Empty if a Book is not."""
        final, hashes = self._final, self._final.book_hashes
        contents = [_read(_book_path(each), partial(read_contents, self._archive, each)) for each in hashes]
        true = [self._book_is_true(epoch, each) for epoch, each in enumerate(contents, final.first)]
        if not all(true):
            return ()
        kinds = [self._rules(each) for each in contents]
        books = []
        for book_hash, rules in zip(hashes, kinds, strict=True):
            book = _read(_book_path(book_hash), partial(load_book, self._archive, book_hash, rules))
            self._say(_said(book))
            books.append(book)
        state_root = self._previous.state_root if self._previous else self._follower.first_state_root() or State.genesis().root()
        root = self._previous.root if self._previous else _NO_ROOT
        totals = (self._previous.rewards, self._previous.fees) if self._previous else (0, 0)
        before = _read(f"state/{state_root.hex()}/manifest.json", lambda: read_before(self._archive, state_root, *totals))
        settled = _read(_book_path(hashes[-1]), partial(settle_range, books, before, kinds))
        self._reasons = reason_table({name: rules for each in kinds for name, rules in each.items()}.values())
        self._compare_roots(epoch_root(settled, books, root, state_root))
        return settled

    def _book_is_true(self, epoch: int, contents: Contents) -> bool:
        """Do the Book's facts follow from the chain? A false snapshot or policy is as good as false readings."""
        clock = self._network.clock
        found = self._follower.snapshot(epoch)
        if found is None:
            raise CannotCheck(f"the chain has no final block yet that ends epoch {epoch}")
        ref, snapshot = found
        previous, beacon = self._follower.beacon(epoch)
        expected: dict[str, tuple[object, object]] = {
            "network": (contents.network, self._network.id),
            "epoch": (contents.epoch, epoch),
            "first_unix_s": (contents.first_unix_s, clock.first_unix_s(epoch)),
            "end_unix_s": (contents.end_unix_s, clock.end_unix_s(epoch)),
            "close_unix_s": (contents.close_unix_s, clock.close_unix_s(epoch)),
            "policy": (contents.policy, self._follower.policy(epoch)),
            "snapshot block": (contents.snapshot.block, ref.block),
            "snapshot block hash": (contents.snapshot.block_hash, ref.block_hash),
            "snapshot": (contents.snapshot.hash, ref.hash),
            "book before": (contents.previous, previous),
            "beacon": (contents.beacon, beacon),
        }
        facts = [Fact(f"book {epoch}: {name}", _text(said), _text(true)) for name, (said, true) in expected.items()]
        self._facts += facts
        if contents.snapshot.hash != ref.hash:
            self._compare_snapshot(epoch, contents, snapshot)
        self._say(f"book {epoch}: {'facts are those of the chain' if all(each.same for each in facts) else 'DIFFERS from the chain'}")
        return all(each.same for each in facts)

    def _compare_snapshot(self, epoch: int, contents: Contents, snapshot: Snapshot) -> None:
        folder = f"snapshot/{contents.snapshot.hash.hex()}"
        try:
            said = _read(f"{folder}/manifest.json", lambda: read_tables(self._archive, "snapshot", contents.snapshot.hash))
        except _Broken as broken:
            self._faults.append(broken.fault)
            return
        difference = first_difference("snapshot", said, snapshot.tables, {"epoch": str(epoch)})
        self._differences += [difference] if difference else []

    def _rules(self, contents: Contents) -> dict[str, Rules]:
        policy = _read(f"policy/{contents.policy.hex()}.json", lambda: read_policy(self._archive, contents.policy))
        try:
            return rules_for(policy)
        except KindMismatch as error:
            raise CannotCheck(str(error)) from error

    def _compare_roots(self, mine: EpochRoot) -> None:
        final, previous = self._final, self._previous
        compared: dict[str, tuple[object, object]] = {
            "prevRoot": (previous.root if previous else _NO_ROOT, mine.prev_root),
            "root": (final.root, mine.root),
            "stateRoot": (final.state_root, mine.state_root),
            "assetRoot": (final.asset_root, mine.asset_root),
            "verdictsHash": (final.verdicts_hash, mine.verdicts_hash),
            "rewards": (final.rewards, mine.rewards),
            "fees": (final.fees, mine.fees),
            "policyHashes": (b"".join(final.policy_hashes), b"".join(mine.policy_hashes)),
        }
        for name, (said, true) in compared.items():
            fact = Fact(name, _text(said), _text(true))
            self._facts.append(fact)
            self._say(f"{name}: {'same' if fact.same else 'DIFFERS'}")

    def _compare_published(self, settled: Sequence[Settlement]) -> None:
        """The files that were published under the chain's hashes: are they there, and where do they differ from what comes out here?"""
        final = self._final
        verdicts = self._published("verdicts", final.verdicts_hash)
        if verdicts is not None:
            for settlement in settled:
                table = verdicts.get(str(settlement.epoch))
                difference = first_verdict_difference(settlement.epoch, table, settlement.verdicts, self._reasons)
                if difference:
                    self._differences.append(difference)
                    break
        state = self._published("state", final.state_root)
        if state is not None:
            difference = first_difference("state", state, settled[-1].state.tables)
            self._differences += [difference] if difference else []
        if final.root != settled[-1].tree.root:
            self._compare_leaves(state, settled[-1].state)

    def _published(self, folder: str, name: bytes) -> dict[str, pl.DataFrame] | None:
        path = f"{folder}/{name.hex()}"
        try:
            return _read(f"{path}/manifest.json", lambda: read_tables(self._archive, folder, name))
        except _Broken as broken:
            self._faults.append(broken.fault)
            return None

    def _compare_leaves(self, state: Mapping[str, pl.DataFrame] | None, mine: State) -> None:
        """Who is said to have earned what, and who did. Leaves of the published root stand in the published state, or by themselves."""
        candidates = [state["accounts"]] if state and dict(state.get("accounts", pl.DataFrame()).schema) == ACCOUNTS else []
        path = f"leaves/{self._final.root.hex()}.parquet"
        try:
            candidates.append(parse_parquet(self._archive.get(path), path, schema=pl.Schema(ACCOUNTS)))
        except (ArchiveError, ValueError) as error:
            missing = str(error)
        for accounts in candidates:
            if payout_tree(_with_accounts(accounts)).root == self._final.root:
                difference = first_leaf_difference(accounts, mine.accounts)
                self._differences += [difference] if difference else []
                return
        self._faults.append(Fault(path, f"nothing published has the leaves of the root on the chain: {missing}"))


def first_verdict_difference(
    epoch: int, published: pl.DataFrame | None, recomputed: pl.DataFrame, reasons: Mapping[tuple[str, int], Reason]
) -> Difference | None:
    """The first line (asset, sequence, interval) whose verdict is not the published one; None if all are the same."""
    place = {"epoch": str(epoch)}
    if published is None:
        return Difference("verdicts", place, NOT_PUBLISHED, f"{len(recomputed)} Entries")
    shape = _shape_difference(published, recomputed)
    if shape:
        return Difference("verdicts", {**place, **shape[0]}, *shape[1:])
    rows = min(len(published), len(recomputed))
    at = min((_first_row(published[name], recomputed[name], rows) for name in recomputed.columns), default=rows)
    if at == rows:
        if len(published) == len(recomputed):
            return None
        longer = published if len(published) > rows else recomputed
        entry = _entry_place(longer.row(rows, named=True))
        said, true = (_verdict_words(longer.row(rows, named=True), reasons), NOT_PUBLISHED)
        return Difference("verdicts", {**place, **entry}, *((said, true) if longer is published else (true, said)))
    said_row, true_row = published.row(at, named=True), recomputed.row(at, named=True)
    if _entry_place(said_row) != _entry_place(true_row):
        other = ", ".join(f"{name} {value}" for name, value in _entry_place(said_row).items())
        return Difference("verdicts", {**place, "row": str(at)}, other, ", ".join(f"{n} {v}" for n, v in _entry_place(true_row).items()))
    pairs = [list(zip(row["reasons"], row["accepted"], strict=False)) for row in (said_row, true_row)]
    line = next((number for number, (said, true) in enumerate(zip(*pairs, strict=False)) if said != true), min(map(len, pairs)))
    words = [_line_words(row, line, reasons) for row in (said_row, true_row)]
    return Difference("verdicts", {**place, **_entry_place(true_row), "interval": interval_of(true_row, line)}, words[0], words[1])


def first_difference(
    name: str, published: Mapping[str, pl.DataFrame], recomputed: Mapping[str, pl.DataFrame], place: Mapping[str, str] | None = None
) -> Difference | None:
    """The first cell (table, row, column) that is not the published one; None if the tables hold the same."""
    for table in sorted(published.keys() | recomputed.keys()):
        where = {**(place or {}), "table": table}
        said, true = published.get(table), recomputed.get(table)
        if said is None or true is None:
            return Difference(name, where, *(NOT_PUBLISHED if each is None else f"{len(each)} rows" for each in (said, true)))
        shape = _shape_difference(said, true)
        if shape:
            return Difference(name, {**where, **shape[0]}, *shape[1:])
        cell = _cell_difference(table, said, true)
        if cell:
            return Difference(name, {**where, **cell[0]}, *cell[1:])
    return None


def first_leaf_difference(published: pl.DataFrame, recomputed: pl.DataFrame) -> Difference | None:
    """The first account, in order, whose leaf is not the published one, with both of its totals; None if all are the same."""
    sides = [{row[0]: row[1:] for row in table.select("account", "rewards", "fees").iter_rows()} for table in (published, recomputed)]
    for account in sorted(sides[0].keys() | sides[1].keys()):
        said, true = (side.get(account) for side in sides)
        if said != true:
            words = [f"rewards {each[0]}, fees {each[1]}" if each else NOT_PUBLISHED for each in (said, true)]
            return Difference("leaves", {"account": _text(account)}, words[0], words[1])
    return None


def interval_of(row: Mapping[str, Any], line: int) -> str:
    """When a verdict row's line was, for people, in UTC."""
    start = row["start_unix_s"] + line * row["interval_seconds"]
    end = start + row["interval_seconds"]
    try:
        first, last = (datetime.fromtimestamp(each, UTC) for each in (start, end))
    except (ValueError, OverflowError, OSError):
        return f"{start} to {end} (Unix seconds)"
    if start == end:
        return f"{first:%Y-%m-%d %H:%M} UTC"
    return f"{first:%Y-%m-%d %H:%M} to {last:{'%H:%M' if first.date() == last.date() else '%Y-%m-%d %H:%M'}} UTC"


def _shape_difference(said: pl.DataFrame, true: pl.DataFrame) -> tuple[dict[str, str], str, str] | None:
    for column in sorted(set(said.columns) | set(true.columns)):
        types = [str(table.schema[column]) if column in table.schema else NOT_PUBLISHED for table in (said, true)]
        if types[0] != types[1]:
            return {"column": column}, types[0], types[1]
    return None


def _cell_difference(table: str, said: pl.DataFrame, true: pl.DataFrame) -> tuple[dict[str, str], str, str] | None:
    rows = min(len(said), len(true))
    firsts = {column: _first_row(said[column], true[column], rows) for column in true.columns}
    at = min(firsts.values(), default=rows)
    if at == rows == max(len(said), len(true)):
        return None
    keys = _KEYS.get(table.removeprefix("carried."), ("asset",) if table.startswith("carried.") else ())
    said_row = said.row(at, named=True) if at < len(said) else None
    true_row = true.row(at, named=True) if at < len(true) else None
    if said_row and true_row and all(said_row[key] == true_row[key] for key in keys):
        column = next(column for column, first in firsts.items() if first == at)
        key = {name: _text(true_row[name]) for name in keys} or {"row": str(at)}
        return {**key, "column": column}, _text(said_row[column]), _text(true_row[column])
    # Rows are sorted by key: the smaller one is what the other side lacks.
    only_said = true_row is None or (said_row is not None and [said_row[key] for key in keys] < [true_row[key] for key in keys])
    row = said_row if only_said else true_row
    assert row is not None
    words = ", ".join(f"{name} {_text(value)}" for name, value in row.items() if name not in keys) or "a row"
    key = {name: _text(row[name]) for name in keys} or {"row": str(at)}
    return (key, words, NOT_PUBLISHED) if only_said else (key, NOT_PUBLISHED, words)


def _first_row(said: pl.Series, true: pl.Series, rows: int) -> int:
    """The first of ``rows`` rows in which two columns of one type differ; ``rows`` if none does."""
    said, true = said.head(rows), true.head(rows)
    if isinstance(said.dtype, pl.List):
        lengths = [column.list.len() for column in (said, true)]
        same_length = _first_row(lengths[0], lengths[1], rows)
        flat = [column.head(same_length).explode(empty_as_null=False) for column in (said, true)]
        item = _first_row(flat[0], flat[1], len(flat[0]))
        if item == len(flat[0]):
            return same_length
        return int(np.searchsorted(lengths[0].head(same_length).cum_sum().to_numpy(), item, side="right"))
    differs = (said != true).arg_true()
    return int(differs[0]) if len(differs) else rows


def _entry_place(row: Mapping[str, Any]) -> dict[str, str]:
    return {"asset": _text(row["asset"]), "schema": row["schema"], "sequence": str(row["sequence"])}


def _verdict_words(row: Mapping[str, Any], reasons: Mapping[tuple[str, int], Reason]) -> str:
    return "; ".join(_line_words(row, line, reasons) for line in range(min(len(row["reasons"]), 3))) or "no lines"


def _line_words(row: Mapping[str, Any], line: int, reasons: Mapping[tuple[str, int], Reason]) -> str:
    if line >= len(row["reasons"]) or line >= len(row["accepted"]):
        return NOT_PUBLISHED
    code = row["reasons"][line]
    reason = reasons.get(("", code)) or reasons.get((row["schema"].split(".")[0], code))
    name = f"{reason.status.name.lower()} ({reason.name})" if reason else f"reason {code}"
    return f"{name}, {row['accepted'][line]} counted"


def _with_accounts(accounts: pl.DataFrame) -> State:
    genesis = State.genesis()
    return replace(genesis, accounts=accounts)


def _read(path: str, read: Callable[[], T]) -> T:
    """What ``read`` gives; a file that it does not find or believe becomes a fault, ``path`` its name if the error gives none."""
    try:
        return read()
    except NotThere as error:
        raise _Broken(Fault(error.path, str(error))) from error
    except (ArchiveError, ValueError, OverflowError, pl.exceptions.PolarsError) as error:
        raise _Broken(Fault(_path_in(str(error)) or path, str(error))) from error


def _book_path(book_hash: bytes) -> str:
    return f"book/{book_hash.hex()}.json"


def _path_in(words: str) -> str | None:
    """Errors of the archive begin with the name of the file."""
    first = words.split(" ", 1)[0].rstrip(":")
    try:
        return check_path(first) if "/" in first else None
    except ValueError:
        return None


def _said(book: Book) -> str:
    entries = sum(len(frame) for frame in book.entries.values())
    valid = sum(int(frame["valid"].sum()) for frame in book.entries.values())
    return f"book {book.contents.epoch}: {entries} Entries, {valid} signatures hold; judging"


def _text(value: object) -> str:
    return _hex(value) if isinstance(value, bytes) else str(value)


def _hex(value: bytes) -> str:
    return "0x" + value.hex()
