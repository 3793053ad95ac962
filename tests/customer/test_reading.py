"""What of the accepted work a customer's software buys."""

from __future__ import annotations

import polars as pl

from subak.core.kind import ACCEPTED
from subak.customer.reading import sold_units
from subak.kinds.energy.rules.schemas import AT_NIGHT, HOUR_BROKEN, PART_OF_HOUR, SPANS_GAP, TOO_COARSE

HOME, DISK = b"\x01" * 32, b"\x02" * 32


def test_only_energy_that_was_counted_hour_by_hour_is_sold() -> None:
    judged = pl.DataFrame(
        {
            "asset": [HOME, HOME, DISK],
            "schema": ["energy.reading", "energy.reading", "storage.answer"],
            "reasons": [[ACCEPTED, PART_OF_HOUR, SPANS_GAP], [TOO_COARSE, HOUR_BROKEN, AT_NIGHT], [ACCEPTED, SPANS_GAP]],
            "accepted": [[100, 20, 3000], [50_000, 7, 0], [5, 6]],
        },
        schema_overrides={"reasons": pl.List(pl.UInt8)},
    )
    assert sold_units(judged) == {HOME: 120, DISK: 11}, "codes mean something else in another kind"
