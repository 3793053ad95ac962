"""The table of contents of a settlement.

Promises, for every Book, state and set of kinds:

- *every line gets one verdict*: accepted, held or refused, with a reason;
- *totals never fall*;
- *verifiers are paid for right and timely seals*: their weight's share of their pool, whoever else is paid;
- *what is minted is what is owed*: growth of totals + growth of escrow + growth of dust = minted, to the unit;
- *minted stays within the budget*: of this epoch, pool by pool; what a pool does not earn is not minted;
- *the same inputs give the same roots*, in whatever order independent Entries arrived: those of different assets; only the table of
  verdicts, and its hash in the state for the next Book's seals, stand in the Book's order;
- *fees are what customers paid*: growth of fees + growth of what waits = what the chain handed over for the lines that were taken;
- *no asset is paid above its measured work at the price it offered*;
- *splitting or merging devices gains nothing* but the dust of one more division.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from subak.core.canon.columns import columns_hash
from subak.core.canon.json import hash_json
from subak.core.canon.typed_data import EpochRoot
from subak.core.kind import Rules
from subak.core.nouns.book import Book
from subak.core.nouns.settlement import Settlement
from subak.core.nouns.state import State
from subak.core.settlement import duties
from subak.core.settlement.debts import keep_back
from subak.core.settlement.judging import Run, judge
from subak.core.settlement.listing import list_entries, places
from subak.core.settlement.money import USAGE, price, split, vest
from subak.core.settlement.roots import close
from subak.core.settlement.sales import sell
from subak.core.settlement.totals import total


def settle(book: Book, before: State, kinds: Mapping[str, Rules], run: Run = map) -> Settlement:
    """What ``book`` comes to after the state ``before``, under the rules ``kinds`` that its policy names.

    ``before`` is the content of the last final stateRoot; it is an argument because the Book does not hold it. ``run`` judges blocks of
    assets: ``map`` one after another, an executor's ``map`` several at once, with the same bytes.
    Errors: ValueError if the policy names a kind, version or table that ``kinds`` or the Book lacks, or a kind as a pool that pays for
    something else is named, or the state an asset that the snapshot lacks.
    """
    check(book, before, kinds)
    listed = list_entries(book, kinds)
    verdicts = judge(listed, book, before, kinds, run)
    sold = sell(verdicts, listed, book, before)
    earned = price(verdicts, sold.burned, book, before, kinds)
    kept = keep_back(vest(earned, book, before), sold.fees, book, before)
    shares = split(kept, earned.verifiers, book)
    after = total(shares, kept, earned, sold, verdicts, book, before)
    return close(after, listed, verdicts, earned, shares, book, kinds)


def check(book: Book, before: State, kinds: Mapping[str, Rules]) -> None:
    """Do the arguments of ``settle`` belong together?"""
    wanted = {name: kind.version for name, kind in book.policy.kinds.items()}
    given = {name: rules.version for name, rules in kinds.items()}
    if wanted != given or any(name != rules.name for name, rules in kinds.items()):
        raise ValueError(f"the policy of epoch {book.contents.epoch} names the kinds {wanted}, settled under {given}")
    taken = sorted({USAGE, duties.POOL} & given.keys())
    if taken:
        raise ValueError(f"the policy names the kinds {taken}: pools of these names pay for something else")
    other = [
        f"{schema.name}.{field.name}"
        for rules in kinds.values()
        for schema in rules.schemas
        for field in schema.fields
        if field.type == "u128"
    ]
    if other:
        raise ValueError(f"rules work on u63 fields and bytes; {other} are u128")
    lost = before.assets["asset"].filter(places(before.assets["asset"], book.snapshot.assets["asset"]) < 0)
    if len(lost):
        raise ValueError(f"the state knows {len(lost)} assets that the snapshot lacks, {lost[0].hex()} first: assets never vanish")


def settle_range(books: Sequence[Book], before: State, kinds: Sequence[Mapping[str, Rules]], run: Run = map) -> list[Settlement]:
    """Consecutive Books one after the other, each under its own policy's rules, the state handed on."""
    settled: list[Settlement] = []
    for book, rules in zip(books, kinds, strict=True):
        settled.append(settle(book, settled[-1].state if settled else before, rules, run))
    return settled


def epoch_root(settled: Sequence[Settlement], books: Sequence[Book], prev_root: bytes, prev_state_root: bytes) -> EpochRoot:
    """What the verifiers vote for: what this range of Books comes to. ``prev_root`` and ``prev_state_root`` are the final ones on the
    chain; the state that was settled from is the content of the latter, resumed with the final totals (``State.resumed``)."""
    last = settled[-1]
    return EpochRoot(
        first=settled[0].epoch,
        last=last.epoch,
        prev_root=prev_root,
        root=last.tree.root,
        prev_state_root=prev_state_root,
        state_root=last.state_root,
        asset_root=last.asset_tree.root,
        verdicts_hash=last.verdicts_hash if len(settled) == 1 else columns_hash(verdict_tables(settled)),
        rewards=last.rewards,
        fees=last.fees,
        book_hashes=tuple(hash_json(book.contents) for book in books),
        policy_hashes=tuple(book.contents.policy for book in books),
    )


def verdict_tables(settled: Sequence[Settlement]) -> dict[str, pl.DataFrame]:
    """The range's verdicts as they are hashed and stored: a table per epoch."""
    return {str(settlement.epoch): settlement.verdicts for settlement in settled}
