"""What a range of final epochs came to, read from the archive as rows: every file is checked against a hash that the chain gave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import polars as pl

from subak.archive.books import read_contents, read_state
from subak.archive.store import Archive, WrongContent
from subak.archive.tables import read_tables
from subak.chain.snapshot import Finalised
from subak.core.kind import Rules, Status
from subak.core.nouns import Network, Snapshot, State
from subak.core.settlement import reason_table
from subak.core.settlement.money import to_ints
from subak.explorer import sales
from subak.kinds.registry import installed

MOST_PAYERS = 20
"""Lanes that a statement names."""
_LAST_UNIX_S = 2**63 - 1
_VERDICTS: dict[str, Any] = {
    "asset": pl.Binary,
    "schema": pl.String,
    "sequence": pl.UInt64,
    "start_unix_s": pl.Int64,
    "interval_seconds": pl.Int64,
    "reasons": pl.List(pl.UInt8),
    "accepted": pl.List(pl.Int64),
}

_NO_EARLIER = pl.DataFrame(schema={"epoch": pl.Int64} | dict.fromkeys(("settlement", "account", "rewards", "fees"), pl.String))

Row = dict[str, Any]
"""Names to plain values. Ids and hashes are 0x hex, money is decimal text in base units, times are Unix seconds."""


@dataclass(frozen=True)
class Ever:
    """Money that became final in the Settlements before one, in base units."""

    minted: int = 0
    """Token units minted for rewards."""
    paid: int = 0
    """Token units of rewards on the accounts."""
    fees: int = 0
    """Payment units of fees on the accounts."""


@dataclass(frozen=True)
class Range:
    """One range of epochs; the columns of its tables are those of the index."""

    epochs: list[Row]
    """A row per epoch. What only the range has (minted, paid, fees, unallocated) stands on its last epoch, elsewhere None."""
    asset_epochs: pl.DataFrame
    """Work and lines by status, by epoch and asset; on the range's last epoch its growth of rewards, fees and counters."""
    offers: pl.DataFrame
    """The newest offer of each asset in each Book."""
    corrections: pl.DataFrame
    """Debts that began."""
    reasons: pl.DataFrame
    """Lines by epoch, asset and reason."""
    refusals: pl.DataFrame
    """Every line that was held or refused."""
    assets: pl.DataFrame
    """Every asset of the snapshot, with its totals ever."""
    payees: pl.DataFrame
    """Who shares an asset's earnings."""
    debts: pl.DataFrame
    """What is still to be kept back."""
    accounts: pl.DataFrame
    """Running totals of the accounts in the range's Settlement: all of them, or those that changed."""
    earlier_accounts: pl.DataFrame
    """Of a Settlement's first range: the totals that are final in the one before, where they are claimed. Else empty."""
    settled_lanes: pl.DataFrame
    """What was settled of each lane, ever: of all of them, or those that changed."""
    lane_epochs: pl.DataFrame
    """By how much that grew over the range."""
    lines: pl.DataFrame
    """What each lane paid for each asset, ever: all, or those that changed."""


def begins(final: Finalised, previous: Finalised | None) -> bool:
    """Whether a range is the first of a Settlement that took over from another one."""
    return previous is not None and previous.settlement != final.settlement


def read_range(
    network: Network,
    archive: Archive,
    final: Finalised,
    previous: Finalised | None,
    only: bytes | None,
    whole: bool,
    earlier: Ever = Ever(),
) -> Range:
    """The range from the archive. ``only``: details of this one asset; ``whole``: all accounts, lanes and lines, else those that changed.
    ``previous``: the range before, also of another Settlement; ``earlier``: what became final in those before this range's.

    Errors: NotThere; WrongContent naming a file that is not what its hash says, or that holds no verdicts.
    """
    before = left = read_state(archive, previous.state_root) if previous else State.genesis()
    if begins(final, previous):
        before = left.restarted()
    after = read_state(archive, final.state_root)
    contents = [read_contents(archive, book_hash) for book_hash in final.book_hashes]
    snapshot = Snapshot(**read_tables(archive, "snapshot", contents[-1].snapshot.hash))
    verdicts = read_tables(archive, "verdicts", final.verdicts_hash)
    since = State.genesis() if whole else before
    lines = pl.concat([_lines(epoch, _checked(verdicts, epoch, final)) for epoch in range(final.first, final.last + 1)])
    by_status = lines.group_by("epoch", "status").len()
    counts = {(epoch, status): count for epoch, status, count in by_status.iter_rows()}
    paid_before, paid_after = (sum(to_ints(state.accounts["rewards"])) for state in (before, after))
    fees_before, fees_after = (sum(to_ints(state.accounts["fees"])) for state in (before, after))
    minted_before = previous.rewards if previous and not begins(final, previous) else 0
    money = {
        "minted": str(final.rewards - minted_before),
        "paid": str(paid_after - paid_before),
        "fees": str(fees_after - fees_before),
        "unallocated": str(sum(to_ints(after.pools["dust"]))),
        "fees_waiting": str(sum(to_ints(after.sales["net"]))),
        "minted_ever": str(earlier.minted + final.rewards),
        "paid_ever": str(earlier.paid + paid_after),
        "fees_ever": str(earlier.fees + fees_after),
    }
    epoch_rows = [
        {
            "epoch": epoch,
            "first": final.first,
            "last": final.last,
            "first_unix_s": network.clock.first_unix_s(epoch),
            "end_unix_s": network.clock.end_unix_s(epoch),
            "attempt": final.attempt,
            "root": _hex(final.root),
            "state_root": _hex(final.state_root),
            "asset_root": _hex(final.asset_root),
            "verdicts_hash": _hex(final.verdicts_hash),
            "book": _hex(final.book_hashes[epoch - final.first]),
            "policy": _hex(final.policy_hashes[epoch - final.first]),
            **(money if epoch == final.last else dict.fromkeys(money)),
            **{status.name.lower(): counts.get((epoch, status.name.lower()), 0) for status in Status},
            "settlement": _hex(final.settlement),
            "block": final.block,
            "transaction_hash": _hex(final.transaction),
        }
        for epoch in range(final.first, final.last + 1)
    ]
    if only is not None:
        lines = lines.filter(pl.col("asset") == only)
    not_paid = lines.filter(pl.col("status") != "accepted")
    counters = sales.counters(before, after, only)
    return Range(
        epochs=epoch_rows,
        asset_epochs=_asset_epochs(_hexed(lines), _hexed(_growth(before, after, only)), counters, final.last),
        offers=sales.offers(archive, contents, verdicts, only),
        corrections=sales.corrections(archive, final),
        reasons=_hexed(lines.group_by("epoch", "asset", "reason", "status", "sentence").len("lines").sort("epoch", "asset", "reason")),
        refusals=_hexed(
            not_paid.select("epoch", "asset", "schema", "sequence", "start_unix_s", "end_unix_s", "status", "reason", "sentence")
        ),
        assets=_assets(snapshot, after),
        payees=_payees(snapshot),
        debts=sales.debts(after),
        accounts=_accounts(since, after),
        earlier_accounts=_earlier_accounts(final, previous, left) if previous and begins(final, previous) else _NO_EARLIER,
        settled_lanes=sales.lanes(since, after, snapshot),
        lane_epochs=sales.lane_growth(before, after, snapshot, final.last),
        lines=sales.lines(since, after),
    )


def _checked(verdicts: Mapping[str, pl.DataFrame], epoch: int, final: Finalised) -> pl.DataFrame:
    path = f"verdicts/{final.verdicts_hash.hex()}/{epoch}.parquet"
    table = verdicts.get(str(epoch))
    if table is None or dict(table.schema) != _VERDICTS:
        found = dict(table.schema) if table is not None else sorted(verdicts)
        raise WrongContent(f"{path} holds {found}, expected the verdicts of epoch {epoch}: {sorted(_VERDICTS)}")
    if (table["reasons"].list.len() != table["accepted"].list.len()).any():
        raise WrongContent(f"{path}: an Entry has not as many reasons as amounts")
    return table


def _lines(epoch: int, verdicts: pl.DataFrame) -> pl.DataFrame:
    """One row per line: epoch, asset, schema, sequence, start, end, amount, status, reason, sentence; in the verdicts' order."""
    lines = verdicts.with_row_index("entry").explode("reasons", "accepted", empty_as_null=False)
    line = pl.int_range(pl.len(), dtype=pl.Int64).over("entry").cast(pl.Int128)
    interval = pl.col("interval_seconds").cast(pl.Int128)
    start = (pl.col("start_unix_s").cast(pl.Int128) + line * interval).clip(0, _LAST_UNIX_S)
    placed = lines.with_columns(
        epoch=pl.lit(epoch, pl.Int64),
        start_unix_s=start.cast(pl.Int64),
        end_unix_s=(start + interval).clip(0, _LAST_UNIX_S).cast(pl.Int64),
        kind=pl.col("schema").str.split(".").list.first(),
        sequence=pl.col("sequence").cast(pl.String),
    )
    words = _words(placed.select("kind", "reasons").unique())
    return placed.join(words, on=["kind", "reasons"], how="left", maintain_order="left").drop("kind", "entry", "reasons")


def _words(used: pl.DataFrame) -> pl.DataFrame:
    """Status, name and sentence of every reason code that was used, by kind."""
    rules: list[Rules] = [kind.rules for kind in installed().values()]
    table = reason_table(rules)
    rows = []
    for kind, code in used.iter_rows():
        reason = table.get(("", code)) or table.get((kind, code))
        if reason:
            rows.append((kind, code, reason.status.name.lower(), reason.name, reason.sentence))
        else:
            rows.append((kind, code, "refused", f"{kind}.{code}", f"reason {code} of the kind {kind}, which is not installed here"))
    schema: dict[str, Any] = {**used.schema, "status": pl.String, "reason": pl.String, "sentence": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _asset_epochs(lines: pl.DataFrame, growth: pl.DataFrame, counters: pl.DataFrame, last: int) -> pl.DataFrame:
    """Counts by asset and epoch, with the range's rewards, fees and counters on its last epoch; also of an asset that only fell silent."""
    status = pl.col("status")
    counted = lines.group_by("asset", "epoch").agg(
        units=pl.col("accepted").sum(),
        accepted=(status == "accepted").sum().cast(pl.Int64),
        instants=((status == "accepted") & (pl.col("start_unix_s") == pl.col("end_unix_s"))).sum().cast(pl.Int64),
        held=(status == "held").sum().cast(pl.Int64),
        refused=(status == "refused").sum().cast(pl.Int64),
    )
    concerned = counters.join(growth, on="asset", how="full", coalesce=True)
    earned = concerned.with_columns(epoch=pl.lit(last, pl.Int64))
    joined = counted.join(earned, on=["asset", "epoch"], how="full", coalesce=True)
    zero = pl.when(pl.col("epoch") == last).then(pl.lit("0"))
    counts = ("units", "accepted", "instants", "held", "refused")
    money = (pl.coalesce(name, zero).alias(name) for name in ("rewards", "fees"))
    return joined.with_columns(pl.col(*counts).fill_null(0), *money).sort("epoch", "asset")


def _growth(before: State, after: State, only: bytes | None) -> pl.DataFrame:
    """What each asset's running totals of rewards and fees grew by, as text; assets that earned nothing are absent."""
    money = ("rewards", "fees")
    joined = after.assets.join(before.assets, on="asset", how="left", suffix="_then")
    chosen = joined if only is None else joined.filter(pl.col("asset") == only)
    grown = chosen.select("asset", *(_int(name) - _int(f"{name}_then").fill_null(0) for name in money))
    return grown.filter(pl.any_horizontal(pl.col(*money) != 0)).with_columns(pl.col(*money).cast(pl.String))


def _assets(snapshot: Snapshot, after: State) -> pl.DataFrame:
    totals = after.assets.select("asset", "live", "units", "paid_epochs", pl.col("rewards", "fees").cast(pl.Int128))
    waiting = after.escrow.group_by("asset").agg(waiting=_int("rewards").sum())
    joined = snapshot.assets.join(totals, on="asset", how="left").join(waiting, on="asset", how="left")
    joined = joined.join(sales.of_assets(after), on="asset", how="left").join(sales.counted(after), on="asset", how="left")
    money = pl.col("rewards", "fees", "waiting", "fees_waiting", "bills_waiting", "unsold", "billed").fill_null(0).cast(pl.String)
    return joined.select(
        _to_hex("asset").alias("id"),
        "kind",
        _to_hex("owner").alias("owner"),
        pl.col("cell").map_elements(lambda cell: f"{cell:x}", return_dtype=pl.String),
        "rated",
        pl.col("live").fill_null(False),
        pl.col("units", "paid_epochs", "payers").fill_null(0),
        money,
        "price",
        "per_units",
        "valid_until_unix_s",
        "counters",
    ).sort("id")


def _payees(snapshot: Snapshot) -> pl.DataFrame:
    """A payee's first twelve bytes are zeros if it is an account; a site stands with its whole id."""
    account = pl.col("payee").bin.encode("hex").str.starts_with("00" * 12)
    hexed = pl.when(account).then(pl.col("payee").bin.encode("hex").str.slice(24)).otherwise(pl.col("payee").bin.encode("hex"))
    place = pl.int_range(pl.len(), dtype=pl.Int64).over("asset")
    return snapshot.payees.select(_to_hex("asset").alias("asset"), place.alias("place"), (pl.lit("0x") + hexed).alias("payee"), "parts")


def _accounts(before: State, after: State) -> pl.DataFrame:
    changed = after.accounts.join(before.accounts, on=["account", "rewards", "fees"], how="anti")
    return changed.select(_to_hex("account").alias("account"), pl.col("rewards", "fees").cast(pl.Int128).cast(pl.String))


def _earlier_accounts(final: Finalised, previous: Finalised, left: State) -> pl.DataFrame:
    named = [pl.lit(final.first, pl.Int64).alias("epoch"), pl.lit(_hex(previous.settlement)).alias("settlement")]
    return _accounts(State.genesis(), left).select(*named, "account", "rewards", "fees")


def _hexed(table: pl.DataFrame) -> pl.DataFrame:
    return table.with_columns(_to_hex("asset").alias("asset"))


def _int(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.Int128)


def _to_hex(column: str) -> pl.Expr:
    return pl.lit("0x") + pl.col(column).bin.encode("hex")


@dataclass(frozen=True)
class AssetFacts:
    """All that a statement tells of an asset."""

    asset: Row
    """The asset with its totals and ``counters`` ever, and its ``payees``."""
    totals: Row
    """``epochs`` in which something became of it, and its lines ever: accepted (instants among them), held, refused."""
    epochs: list[Row]
    """Its epochs in order, each with its ``counters``; perhaps only the newest."""
    reasons: list[Row]
    """Its lines by epoch and reason, in those epochs."""
    refusals: list[Row]
    """Its lines that were held or refused, in those epochs."""
    offer: Row | None
    """The newest offer that a Book lists."""
    corrections: list[Row]
    """Debts that began, in order."""
    debts: list[Row]
    """What of them is still to be kept back."""
    payers: list[Row]
    """Lanes with a line for it, those that paid most first; at most ``MOST_PAYERS``."""
    sites: Mapping[str, Row]
    """The sites among its payees: each one's ``owner`` and ``payees``."""
    accounts: Mapping[str, Row]
    """Rewards and fees of everyone who is paid, ever in the Settlement of now."""
    earlier: Mapping[str, list[Row]] = field(default_factory=dict)
    """Their totals in Settlements before it, oldest first."""


def paid_accounts(asset: Row, sites: Mapping[str, Row]) -> list[str]:
    """Accounts that share what an asset earns, itself or through a site."""
    direct = [each["payee"] for each in asset["payees"]] or [asset["owner"]]
    through = [payee for site in sites.values() for payee in [each["payee"] for each in site["payees"]] or [site["owner"]]]
    return sorted({each for each in (*direct, *through) if each not in sites})


def gather(asset: bytes, network: Network, archive: Archive, finals: Sequence[Finalised]) -> AssetFacts | None:
    """The facts of one asset from everything that is final; None if the last snapshot does not name it. Errors: as ``read_range``."""
    name = _hex(asset)
    kept: dict[str, list[Row]] = {key: [] for key in ("asset_epochs", "reasons", "refusals", "offers", "corrections")}
    left: list[pl.DataFrame] = []
    times: dict[int, Row] = {}
    read: Range | None = None
    for place, final in enumerate(finals):
        read = read_range(network, archive, final, finals[place - 1] if place else None, asset, place == len(finals) - 1)
        times |= {each["epoch"]: {key: each[key] for key in ("first", "last", "first_unix_s", "end_unix_s")} for each in read.epochs}
        left.append(read.earlier_accounts)
        for key, rows in kept.items():
            rows += getattr(read, key).filter(pl.col("asset") == name).to_dicts()
    known = _rows(read.assets, id=name) if read else []
    if read is None or not known:
        return None
    row = {**known[0], "counters": numbers(known[0]["counters"]), "payees": _only(_rows(read.payees, asset=name), "payee", "parts")}
    sites = {
        site: {"owner": _rows(read.assets, id=site)[0]["owner"], "payees": _only(_rows(read.payees, asset=site), "payee", "parts")}
        for site in [each["payee"] for each in row["payees"] if len(each["payee"]) == len(name)]
    }
    epochs = [{**each, **times[each["epoch"]], "counters": numbers(each["counters"])} for each in kept["asset_epochs"]]
    customers = dict(read.settled_lanes.select("lane", "customer").iter_rows())
    payers = [{"lane": each["lane"], "customer": customers[each["lane"]], "money": each["money"]} for each in _rows(read.lines, asset=name)]
    who = paid_accounts(row, sites)
    earlier = pl.concat(left)
    return AssetFacts(
        asset=row,
        totals={"epochs": len(epochs), **{key: sum(each[key] for each in epochs) for key in ("accepted", "instants", "held", "refused")}},
        epochs=epochs,
        reasons=kept["reasons"],
        refusals=kept["refusals"],
        offer=kept["offers"][-1] if kept["offers"] else None,
        corrections=kept["corrections"],
        debts=_rows(read.debts, asset=name),
        payers=sorted(payers, key=lambda each: (-int(each["money"]), each["lane"]))[:MOST_PAYERS],
        sites=sites,
        accounts={each["account"]: each for each in read.accounts.to_dicts() if each["account"] in who},
        earlier={account: _rows(earlier, account=account) for account in who},
    )


def numbers(json: str | None) -> dict[str, int]:
    """Counters as they stand in a table."""
    return msgspec.json.decode(json, type=dict[str, int]) if json else {}


def _rows(table: pl.DataFrame, **named: str) -> list[Row]:
    """The table's rows with this value in this column."""
    return table.filter(*(pl.col(column) == value for column, value in named.items())).to_dicts()


def _only(rows: Sequence[Row], *names: str) -> list[Row]:
    return [{name: row[name] for name in names} for row in rows]


def _hex(value: bytes) -> str:
    return "0x" + value.hex()
