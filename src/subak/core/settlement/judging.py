"""Judge: one verdict for every line, from the kinds' rules, in blocks of assets."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from subak.core.canon.columns import binary_rows, binary_series
from subak.core.canon.ids import draw_seed
from subak.core.cells import within
from subak.core.kind import ACCEPTED, Assets, Codes, Column, Context, Judged, Mask, Rules, Status
from subak.core.nouns.book import Book
from subak.core.nouns.snapshot import Snapshot
from subak.core.nouns.state import State
from subak.core.settlement import reasons
from subak.core.settlement.blocks import Flat, Grid, firsts, in_blocks, in_time_order, outside_window, rank, read_lines
from subak.core.settlement.listing import Listed, placed, places

Block = tuple[Column, Column]
Run = Callable[[Callable[[Block], None], Iterable[Block]], Iterable[None]]
"""``map``, or an executor's."""
MAX_WORK = 1 << 50
"""Most work that one line may count; keeps every sum of an asset's lines inside int64."""
_UNDECLARED = -1


@dataclass(frozen=True)
class Verdicts:
    """A reason and the accepted work for every line; work and memory for every asset."""

    offsets: Column
    """First line of each listed Entry, and after the last the number of lines."""
    reasons: Codes
    """Code of each line, Entries in Book order."""
    accepted: Column
    """Accepted work of each line in its kind's first unit."""
    work: Mapping[str, Mapping[str, Column]]
    """Kind, unit: work per row of the snapshot's assets."""
    carried: Mapping[str, Mapping[str, Column]]
    """Kind, name: what the rules remember per row of the snapshot's assets."""
    live: Mask
    """Per row of the snapshot's assets: its device has signed that its owner holds it, in this Book or before."""


def judge(listed: Listed, book: Book, before: State, kinds: Mapping[str, Rules], run: Run = map) -> Verdicts:
    """Every line of every listed Entry gets one verdict. Paid work of an asset that signed two different Entries of one sequence is held.

    Blocks of assets know nothing of each other; ``run`` may judge several at once.
    Errors: ValueError if rules break their contract (an undeclared reason, work where nothing was accepted or beyond ``MAX_WORK``).
    """
    assets = book.snapshot.assets
    offsets = np.append(0, np.cumsum(listed.rows))
    verdicts = Verdicts(
        offsets=offsets,
        reasons=np.repeat(listed.reason, listed.rows),
        accepted=np.zeros(offsets[-1], np.int64),
        work={name: {unit: np.zeros(len(assets), np.int64) for unit in rules.work_units} for name, rules in kinds.items()},
        carried={name: _remembered(rules, book, before) for name, rules in kinds.items()},
        live=assets["possessed"].to_numpy()
        | placed(before.assets["live"], places(assets["asset"], before.assets["asset"]), 0).astype(np.bool_),
    )
    _take_possessions(listed, book, verdicts)
    _check_offers(listed, book, verdicts)
    for name in sorted(kinds):
        _judge_kind(kinds[name], listed, book, verdicts, run)
    return verdicts


def context_of(rules: Rules, book: Book) -> Context:
    """What policy and epoch give to the rules. Errors: ValueError naming a table that is missing."""
    tables = book.tables.get(rules.name, {})
    for table, columns in rules.tables.items():
        if table not in tables or not set(columns) <= set(tables[table]):
            raise ValueError(f"{rules.name} needs table {table} with columns {columns}, the policy gives {sorted(tables)}")
    return Context(
        parameters=book.policy.kinds[rules.name].parameters,
        tables=tables,
        epoch=book.contents.epoch,
        first_unix_s=book.contents.first_unix_s,
        end_unix_s=book.contents.end_unix_s,
        seed=draw_seed(book.contents.previous, book.contents.beacon),
    )


def _assets_of(snapshot: Snapshot) -> Assets:
    """The snapshot's assets as rules see them."""
    table = snapshot.assets
    return Assets(table["cell"].to_numpy(), table["rated"].to_numpy(), binary_rows(table["asset"], 32))


def _take_possessions(listed: Listed, book: Book, verdicts: Verdicts) -> None:
    """A device that says in time that its owner holds it makes its asset live, for readings of the same Book too."""
    signed = np.flatnonzero((listed.schema == 0) & (listed.reason == ACCEPTED))
    if not len(signed):
        return
    lines = read_lines(signed, listed, verdicts.offsets, book, ())
    named = book.entries[reasons.POSSESSION.name]["owner"].gather(listed.row[signed]).explode(empty_as_null=False)
    is_owner = (named == book.snapshot.assets["owner"].gather(lines.asset)).to_numpy()
    codes = np.where(is_owner, ACCEPTED, reasons.NOT_THE_OWNER).astype(np.uint8)
    codes[outside_window(lines, book) == reasons.IN_THE_FUTURE] = reasons.IN_THE_FUTURE
    verdicts.reasons[lines.line] = codes
    verdicts.live[lines.asset[codes == ACCEPTED]] = True


def _check_offers(listed: Listed, book: Book, verdicts: Verdicts) -> None:
    """An offer is taken if it is made in time, for some units."""
    made = np.flatnonzero((listed.schema == reasons.CORE_SCHEMAS.index(reasons.OFFER)) & (listed.reason == ACCEPTED))
    if not len(made):
        return
    lines = read_lines(made, listed, verdicts.offsets, book, ())
    per_units = book.entries[reasons.OFFER.name]["per_units"].gather(listed.row[made]).explode(empty_as_null=False).to_numpy()
    codes = np.where(per_units > 0, outside_window(lines, book), reasons.BAD_OFFER).astype(np.uint8)
    verdicts.reasons[lines.line] = codes


def _permitted(rules: Rules, book: Book) -> Mask:
    """By row of the snapshot's assets: everything that the policy requires of this kind there is attested until the epoch's end."""
    assets, words = book.snapshot.assets, book.snapshot.attestations
    words = words.filter(words["expires_unix_s"] >= book.contents.end_unix_s)
    permitted = np.ones(len(assets), np.bool_)
    for required in book.policy.kinds[rules.name].requires:
        subjects = assets["asset"] if required.subject == "asset" else _padded(assets["owner"])
        holders = words.filter(words["topic"] == required.topic)["subject"].unique()
        permitted &= (places(subjects, holders) >= 0) | ~within(assets["cell"].to_numpy(), required.jurisdiction)
    return permitted


def _padded(addresses: pl.Series) -> pl.Series:
    """Addresses as subjects of attestations."""
    rows = np.zeros((len(addresses), 32), np.uint8)
    rows[:, 12:] = binary_rows(addresses, 20)
    return binary_series("subject", rows)


def _judge_kind(rules: Rules, listed: Listed, book: Book, verdicts: Verdicts, run: Run) -> None:
    context = context_of(rules, book)
    permitted = _permitted(rules, book)
    ours = np.flatnonzero(np.isin(listed.schema, [listed.schemas.index(schema) for schema in rules.schemas]) & (listed.reason == ACCEPTED))
    live = verdicts.live[listed.asset[ours]]
    not_live = np.zeros(len(listed), np.bool_)
    not_live[ours[~live]] = True
    verdicts.reasons[np.repeat(not_live, listed.rows)] = reasons.NOT_LIVE
    ours = ours[live]
    barred = np.zeros(len(listed), np.bool_)
    barred[ours[~permitted[listed.asset[ours]]]] = True
    verdicts.reasons[np.repeat(barred, listed.rows)] = reasons.NOT_ATTESTED
    ours = ours[~barred[ours]]
    silent = verdicts.live & permitted & (book.snapshot.assets["kind"] == rules.name).to_numpy()
    silent[listed.asset[ours]] = False
    every = _assets_of(book.snapshot)

    def judge_block(block: Block) -> None:
        entries, silent = block
        lines = read_lines(entries, listed, verdicts.offsets, book, rules.schemas)
        lines = in_time_order(_refuse(verdicts, lines, outside_window(lines, book)))
        lines = _refuse(verdicts, lines, np.where(rank(lines.asset) < reasons.MAX_LINES_PER_ASSET, ACCEPTED, reasons.TOO_MANY_LINES))
        fell_silent = np.setdiff1d(np.unique(listed.asset[entries]), lines.asset[firsts(lines.asset)], assume_unique=True)
        _judge_block(rules, Grid(lines, np.append(silent, fell_silent)), every, listed, context, verdicts)

    deque(run(judge_block, in_blocks(ours, np.flatnonzero(silent), listed)), maxlen=0)


def _judge_block(rules: Rules, grid: Grid, every: Assets, listed: Listed, context: Context, verdicts: Verdicts) -> None:
    carried, work = verdicts.carried[rules.name], verdicts.work[rules.name]
    lines = grid.lines(listed, rules.schemas)
    judged = rules.judge(
        lines,
        Assets(every.cell[grid.assets], every.rated[grid.assets], every.id[grid.assets]),
        {name: column[grid.assets] for name, column in carried.items()},
        context,
    )
    _check(judged, lines.present, rules)

    codes, paid = _hold(judged, listed.conflicted[grid.assets])
    verdicts.reasons[grid.flat.line] = grid.collect(codes)
    verdicts.accepted[grid.flat.line] = grid.collect(paid[rules.work_units[0]])
    for unit in rules.work_units:
        work[unit][grid.assets] += paid[unit].sum(axis=0)
    for name, column in judged.carried.items():
        carried[name][grid.assets] = column


def _hold(judged: Judged, conflicted: Mask) -> tuple[Codes, Mapping[str, Column]]:
    """Reasons and work, with what would be paid to these assets held."""
    if not conflicted.any():
        return judged.reasons, judged.work
    held = np.logical_or.reduce([column > 0 for column in judged.work.values()]) & conflicted
    return np.where(held, np.uint8(reasons.HELD_BY_CONFLICT), judged.reasons), {
        unit: np.where(held, 0, column) for unit, column in judged.work.items()
    }


def _check(judged: Judged, present: Mask, rules: Rules) -> None:
    """Rules are strangers: what they may not do must stop the settlement, not pay somebody."""
    accepts = np.full(256, _UNDECLARED, np.int8)
    accepts[ACCEPTED] = True
    for reason in rules.reasons:
        accepts[reason.code] = reason.status is Status.ACCEPTED
    accepted = np.where(present, accepts[judged.reasons], False)
    who = f"{rules.name} {rules.version}"
    if not present.any():
        return
    if accepted.min() == _UNDECLARED:
        raise ValueError(f"{who}: reasons {np.unique(judged.reasons[accepted == _UNDECLARED]).tolist()} are not declared")
    for unit in rules.work_units:
        column = judged.work[unit]
        if column.min() < 0 or column.max() > MAX_WORK:
            raise ValueError(f"{who}: {unit} of a line lies in {column.min()} .. {column.max()}, allowed is 0 .. {MAX_WORK}")
        unpaid = column[accepted == 0]
        if unpaid.any():
            raise ValueError(f"{who}: {unit} is {unpaid.max()} on a line that was not accepted")


def _refuse(verdicts: Verdicts, lines: Flat, codes: Codes) -> Flat:
    """Writes down the lines whose code is not ``ACCEPTED`` and gives back the others."""
    refused = codes != ACCEPTED
    if not refused.any():
        return lines
    verdicts.reasons[lines.line[refused]] = codes[refused]
    return lines.take(~refused)


def _remembered(rules: Rules, book: Book, before: State) -> dict[str, Column]:
    """What the rules carry, on the rows of the snapshot's assets; a column that is new in this version starts at its beginning."""
    table = before.carried.get(rules.name, pl.DataFrame(schema={"asset": pl.Binary}))
    at = places(book.snapshot.assets["asset"], table["asset"])
    return {
        carried.name: placed(table[carried.name], at, carried.start)
        if carried.name in table.columns
        else np.full(len(at), carried.start, np.int64)
        for carried in rules.carried
    }
