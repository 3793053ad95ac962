"""Nobody checks on chain that an asset's cell is a place: one that is none earns nothing, and stops nobody."""

from __future__ import annotations

import numpy as np
import pytest
from energy_grid import RULES, assets, names, never_judged, sky_context

from subak.core.cells import FINEST, parents, within
from subak.core.kind import Lines

DAY_UNIX_S = 1_496_275_200
PENTAGON = 0x821C07FFFFFFFFF
ODD_CELLS = {"zero": 0, "all ones": 2**64 - 1, "a pentagon": PENTAGON, "no mode": 0x0729A004BFFFFFF, "a digit of 7": 0x8729A1C4BFFFFFF}


def noon() -> Lines:
    """Two honest readings around noon: a baseline, and an hour of export."""

    def column(*values: int) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
        return np.array(values, np.int64).reshape(-1, 1)

    return Lines(
        present=np.ones((2, 1), np.bool_),
        schema=np.zeros((2, 1), np.uint8),
        start_unix_s=column(DAY_UNIX_S + 11 * 3600, DAY_UNIX_S + 12 * 3600),
        end_unix_s=column(DAY_UNIX_S + 12 * 3600, DAY_UNIX_S + 13 * 3600),
        fields={
            "export_wh": column(1000, 2000),
            "import_wh": column(5, 5),
            "generation_wh": column(1000, 2000),
        },
    )


@pytest.mark.parametrize("cell", ODD_CELLS.values(), ids=ODD_CELLS)
def test_G67_a_cell_that_is_no_place_earns_nothing(cell: int) -> None:
    context = sky_context(DAY_UNIX_S, np.full(24, 900, np.int64), np.zeros(24, np.bool_))
    judged = RULES.judge(noon(), assets(1, 4000, cell), never_judged(1), context)
    assert names(judged.reasons[:, 0]) == ["baseline", "no_limit_table"]
    assert {unit: int(column.sum()) for unit, column in judged.work.items()} == dict.fromkeys(RULES.work_units, 0)
    honest = RULES.judge(noon(), assets(1, 4000), never_judged(1), context)
    assert int(sum(column.sum() for column in honest.work.values())) > 0, "the same readings from a place"


@pytest.mark.parametrize("cell", ODD_CELLS.values(), ids=ODD_CELLS)
def test_G67_a_cell_that_is_no_place_stops_no_settlement(cell: int) -> None:
    home, cells = 0x8729A004BFFFFFF, np.array([cell, 0x8729A004BFFFFFF], np.uint64)
    for resolution in range(FINEST + 1):
        around = parents(cells, resolution)
        assert around[1] == parents(np.array([home], np.uint64), resolution)[0], "the others' places stay what they are"
        assert within(cells, int(around[1]))[1]
