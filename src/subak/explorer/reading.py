"""What a range of final epochs came to, read from the archive as rows: every file is checked against a hash that the chain gave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from subak.archive.books import read_contents, read_state
from subak.archive.store import Archive, WrongContent
from subak.archive.tables import read_tables
from subak.chain.snapshot import Finalised
from subak.core.kind import Rules, Status
from subak.core.nouns import Network, Snapshot, State
from subak.core.settlement import reason_table
from subak.core.settlement.money import to_ints
from subak.kinds.registry import installed

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

Row = dict[str, Any]
"""Names to plain values. Ids and hashes are 0x hex, money is decimal text in base units, times are Unix seconds."""


@dataclass(frozen=True)
class Range:
    """One range of epochs; the columns of its tables are those of the index."""

    epochs: list[Row]
    """A row per epoch. What only the range has (minted, paid, unallocated) stands on its last epoch, elsewhere None."""
    asset_epochs: pl.DataFrame
    """Work and lines by status, by epoch and asset; the range's growth of rewards on its last epoch."""
    reasons: pl.DataFrame
    """Lines by epoch, asset and reason."""
    refusals: pl.DataFrame
    """Every line that was held or refused."""
    assets: pl.DataFrame
    """Every asset of the snapshot, with its totals ever."""
    payees: pl.DataFrame
    """Who shares an asset's earnings."""
    accounts: pl.DataFrame
    """Running totals of the accounts, ever: all of them, or those that changed."""


def read_range(network: Network, archive: Archive, final: Finalised, previous: Finalised | None, only: bytes | None, whole: bool) -> Range:
    """The range from the archive. ``only``: details of this one asset; ``whole``: all accounts, else those that changed.

    Errors: NotThere; WrongContent naming a file that is not what its hash says, or that holds no verdicts.
    """
    before = read_state(archive, previous.state_root) if previous else State.genesis()
    after = read_state(archive, final.state_root)
    contents = [read_contents(archive, book_hash) for book_hash in final.book_hashes]
    snapshot = Snapshot(**read_tables(archive, "snapshot", contents[-1].snapshot.hash))
    verdicts = read_tables(archive, "verdicts", final.verdicts_hash)
    lines = pl.concat([_lines(epoch, _checked(verdicts, epoch, final)) for epoch in range(final.first, final.last + 1)])
    by_status = lines.group_by("epoch", "status").len()
    counts = {(epoch, status): count for epoch, status, count in by_status.iter_rows()}
    paid_before, paid_after = (sum(to_ints(state.accounts["rewards"])) for state in (before, after))
    minted_before = previous.rewards if previous else 0
    money = {
        "minted": str(final.rewards - minted_before),
        "paid": str(paid_after - paid_before),
        "unallocated": str(sum(to_ints(after.pools["dust"]))),
        "minted_ever": str(final.rewards),
        "paid_ever": str(paid_after),
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
            "block": final.block,
            "transaction_hash": _hex(final.transaction),
        }
        for epoch in range(final.first, final.last + 1)
    ]
    if only is not None:
        lines = lines.filter(pl.col("asset") == only)
    not_paid = lines.filter(pl.col("status") != "accepted")
    return Range(
        epochs=epoch_rows,
        asset_epochs=_hexed(_asset_epochs(lines, _growth(before, after, only), final.last)),
        reasons=_hexed(lines.group_by("epoch", "asset", "reason", "status", "sentence").len("lines").sort("epoch", "asset", "reason")),
        refusals=_hexed(
            not_paid.select("epoch", "asset", "schema", "sequence", "start_unix_s", "end_unix_s", "status", "reason", "sentence")
        ),
        assets=_assets(snapshot, after),
        payees=_payees(snapshot),
        accounts=_accounts(State.genesis() if whole else before, after),
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


def _asset_epochs(lines: pl.DataFrame, growth: pl.DataFrame, last: int) -> pl.DataFrame:
    """Counts by asset and epoch, with the range's rewards on its last epoch."""
    status = pl.col("status")
    counted = lines.group_by("asset", "epoch").agg(
        units=pl.col("accepted").sum(),
        accepted=(status == "accepted").sum().cast(pl.Int64),
        instants=((status == "accepted") & (pl.col("start_unix_s") == pl.col("end_unix_s"))).sum().cast(pl.Int64),
        held=(status == "held").sum().cast(pl.Int64),
        refused=(status == "refused").sum().cast(pl.Int64),
    )
    earned = growth.with_columns(epoch=pl.lit(last, pl.Int64))
    joined = counted.join(earned, on=["asset", "epoch"], how="full", coalesce=True)
    zero = pl.when(pl.col("epoch") == last).then(pl.lit("0"))
    counts = ("units", "accepted", "instants", "held", "refused")
    return joined.with_columns(pl.col(*counts).fill_null(0), rewards=pl.coalesce("rewards", zero)).sort("epoch", "asset")


def _growth(before: State, after: State, only: bytes | None) -> pl.DataFrame:
    """What each asset's running total of rewards grew by, as text; assets that earned nothing are absent."""
    now = after.assets.select("asset", pl.col("rewards").cast(pl.Int128).alias("now"))
    then = before.assets.select("asset", pl.col("rewards").cast(pl.Int128).alias("then"))
    grown = now.join(then, on="asset", how="left").with_columns(grown=pl.col("now") - pl.col("then").fill_null(0))
    chosen = grown if only is None else grown.filter(pl.col("asset") == only)
    return chosen.filter(pl.col("grown") != 0).select("asset", rewards=pl.col("grown").cast(pl.String))


def _assets(snapshot: Snapshot, after: State) -> pl.DataFrame:
    totals = after.assets.select("asset", "live", "units", pl.col("rewards", "fees").cast(pl.Int128))
    waiting = after.escrow.group_by("asset").agg(waiting=pl.col("rewards").cast(pl.Int128).sum())
    joined = snapshot.assets.join(totals, on="asset", how="left").join(waiting, on="asset", how="left")
    money = pl.col("rewards", "fees", "waiting").fill_null(0).cast(pl.String)
    return joined.select(
        _to_hex("asset").alias("id"),
        "kind",
        _to_hex("owner").alias("owner"),
        pl.col("cell").map_elements(lambda cell: f"{cell:x}", return_dtype=pl.String),
        "rated",
        pl.col("live").fill_null(False),
        pl.col("units").fill_null(0),
        money,
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


def _hexed(table: pl.DataFrame) -> pl.DataFrame:
    return table.with_columns(_to_hex("asset").alias("asset"))


def _to_hex(column: str) -> pl.Expr:
    return pl.lit("0x") + pl.col(column).bin.encode("hex")


@dataclass(frozen=True)
class AssetFacts:
    """All that a statement tells of an asset."""

    asset: Row
    """The asset with its totals ever, and its ``payees``."""
    totals: Row
    """``epochs`` in which something became of it, and its lines ever: accepted (instants among them), held, refused."""
    epochs: list[Row]
    """Its epochs in order, perhaps only the newest."""
    reasons: list[Row]
    """Its lines by epoch and reason, in those epochs."""
    refusals: list[Row]
    """Its lines that were held or refused, in those epochs."""
    accounts: Mapping[str, str]
    """Rewards ever by payee."""


def gather(asset: bytes, network: Network, archive: Archive, finals: Sequence[Finalised]) -> AssetFacts | None:
    """The facts of one asset from everything that is final; None if the last snapshot does not name it. Errors: as ``read_range``."""
    name, rows, reasons, refusals = _hex(asset), [], [], []
    read: Range | None = None
    for place, final in enumerate(finals):
        read = read_range(network, archive, final, finals[place - 1] if place else None, asset, place == len(finals) - 1)
        times = {each["epoch"]: {key: each[key] for key in ("first", "last", "first_unix_s", "end_unix_s")} for each in read.epochs}
        rows += [{**each, **times[each["epoch"]]} for each in read.asset_epochs.to_dicts()]
        reasons += read.reasons.to_dicts()
        refusals += read.refusals.to_dicts()
    known = read.assets.filter(pl.col("id") == name).to_dicts() if read else []
    if read is None or not known:
        return None
    lines = {key: sum(each[key] for each in rows) for key in ("accepted", "instants", "held", "refused")}
    return AssetFacts(
        asset={**known[0], "payees": read.payees.filter(pl.col("asset") == name).select("payee", "parts").to_dicts()},
        totals={"epochs": len(rows), **lines},
        epochs=rows,
        reasons=reasons,
        refusals=refusals,
        accounts=dict(read.accounts.select("account", "rewards").iter_rows()),
    )


def _hex(value: bytes) -> str:
    return "0x" + value.hex()
