"""Verdicts as a table, and the roots that everyone signs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from subak.core.canon.columns import binary_rows, columns_hash
from subak.core.canon.keccak import Rows
from subak.core.canon.merkle import Tree, pack_words, standard_leaf_hashes
from subak.core.kind import Column, Rules, Status
from subak.core.nouns.book import Book
from subak.core.nouns.settlement import Settlement, Summary
from subak.core.nouns.state import State
from subak.core.settlement.duties import commits_after, sealed_after
from subak.core.settlement.judging import Verdicts
from subak.core.settlement.listing import Listed
from subak.core.settlement.money import Earned, Shares, to_ints, to_words
from subak.core.settlement.reasons import kind_of, reason_table

_BLOCK = 1 << 14
"""Leaves that are packed and hashed at once."""


def close(
    after: State, listed: Listed, verdicts: Verdicts, earned: Earned, shares: Shares, book: Book, kinds: Mapping[str, Rules]
) -> Settlement:
    """Hash and plant everything."""
    table = verdict_table(listed, verdicts, book)
    verdicts_hash = columns_hash({str(book.contents.epoch): table})
    after = replace(after, sealed=sealed_after(book, verdicts_hash), commits=commits_after(book))
    return Settlement(
        epoch=book.contents.epoch,
        verdicts=table,
        verdicts_hash=verdicts_hash,
        state=after,
        state_root=after.root(),
        tree=payout_tree(after),
        asset_tree=asset_tree(after),
        rewards=to_ints(after.totals["rewards"])[0],
        fees=to_ints(after.totals["fees"])[0],
        summary=_summary(listed, verdicts, earned, shares, after, kinds),
    )


def payout_tree(state: State) -> Tree:
    """Leaves (account, rewards, fees), one per account."""
    table = state.accounts
    return _tree(binary_rows(table["account"], 20), to_words(table["rewards"]), to_words(table["fees"]))


def asset_tree(state: State) -> Tree:
    """Leaves (asset, units, rewards, fees, paid epochs), one per asset; milestones and ratings prove against it."""
    table = state.assets
    units, paid_epochs = table["units"].to_numpy(), table["paid_epochs"].to_numpy()
    return _tree(binary_rows(table["asset"], 32), units, to_words(table["rewards"]), to_words(table["fees"]), paid_epochs)


def _tree(keys: Rows, *columns: NDArray[Any]) -> Tree:
    """Packed and hashed in blocks: a leaf's words take many times the room of its hash."""
    leaves = np.empty((len(keys), 32), np.uint8)
    for start in range(0, len(keys), _BLOCK):
        some = slice(start, start + _BLOCK)
        leaves[some] = standard_leaf_hashes(pack_words(keys[some], *(column[some] for column in columns)))
    return Tree(leaves)


def verdict_table(listed: Listed, verdicts: Verdicts, book: Book) -> pl.DataFrame:
    """One row per Entry in Book order; lists hold one value per line."""
    subjects, first = pl.Series(dtype=pl.Binary), []
    for schema in listed.schemas:
        first.append(len(subjects))
        if schema.name in book.entries:
            subjects = subjects.append(book.entries[schema.name]["subject"])
    names = pl.Series([schema.name for schema in listed.schemas])
    return pl.DataFrame(
        {
            "asset": subjects.gather(np.array(first)[listed.schema] + listed.row),
            "schema": names.gather(listed.schema),
            "sequence": listed.sequence,
            "start_unix_s": listed.start_unix_s,
            "interval_seconds": listed.interval_seconds,
            "reasons": _lists(verdicts.reasons, listed.rows),
            "accepted": _lists(verdicts.accepted, listed.rows),
        }
    )


def _summary(listed: Listed, verdicts: Verdicts, earned: Earned, shares: Shares, after: State, kinds: Mapping[str, Rules]) -> Summary:
    reasons = reason_table(kinds.values())
    counts: dict[str, int] = {}
    by_status = dict.fromkeys(Status, 0)
    for index in np.unique(listed.schema).tolist():
        kind = kind_of(listed.schemas[index])
        mine = np.repeat(listed.schema == index, listed.rows)
        codes = pl.Series("code", verdicts.reasons if mine.all() else verdicts.reasons[mine])
        for code, lines in codes.value_counts().iter_rows():
            reason = reasons.get(("", code)) or reasons[kind, code]
            counts[reason.name] = counts.get(reason.name, 0) + lines
            by_status[reason.status] += lines
    return Summary(
        accepted=by_status[Status.ACCEPTED],
        held=by_status[Status.HELD],
        refused=by_status[Status.REFUSED],
        reasons=dict(sorted(counts.items())),
        paid=sum(shares.rewards),
        fees=sum(shares.fees),
        waiting=sum(to_ints(after.sales["net"])),
        minted=sum(earned.minted.values()),
        unallocated=sum(to_ints(after.pools["dust"])),
        pools=earned.minted,
    )


def _lists(flat: NDArray[Any], lengths: Column) -> pl.Series:
    """``flat`` cut into one list per Entry."""
    if len(lengths) and (lengths == lengths[0]).all():
        return pl.Series(flat.reshape(len(lengths), int(lengths[0]))).arr.to_list()
    entry = np.repeat(np.arange(len(lengths), dtype=np.uint32), lengths)
    return pl.DataFrame({"entry": entry, "value": flat}).group_by("entry", maintain_order=True).agg("value")["value"]
