"""Energy keeps the promises of every kind."""

from __future__ import annotations

import numpy as np
from energy_grid import RULES, sky_context
from hypothesis import strategies as st

from subak.core.kind import Context
from subak.kinds.conformance import HOUR_S, MOST, KindConformance
from subak.lab.recording import CELL


class TestConformance(KindConformance):
    rules = RULES
    examples = 150

    def context(self) -> Context:
        """Two days around the lines: a weak sun, a strong one, and a night."""
        limit = np.tile(np.repeat([100, 900, 0], 2), 8)
        return sky_context(self.start() - 4 * HOUR_S, limit, limit == 0)

    def cells(self) -> st.SearchStrategy[int]:
        return st.sampled_from([CELL, CELL, CELL, 0, MOST])

    def rated(self) -> st.SearchStrategy[int]:
        return st.sampled_from([4000, 4000, 4000, 0, (1 << 31) - 1, 1 << 31, MOST])

    def values(self, name: str) -> st.SearchStrategy[int]:
        return st.sampled_from([1000, 3000] if name == "generation_wh" else [0, 2, 3, 900])


def test_importing_the_kind_is_light() -> None:
    """Verifiers and explorers never load Modbus or the sun."""
    import subprocess
    import sys

    program = "import sys, subak.kinds.energy; print([m for m in ('pymodbus', 'pvlib', 'pandas', 'polars', 'h3') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip() == "[]"
