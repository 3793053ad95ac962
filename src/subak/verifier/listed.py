"""Which of an asset's Entries final Books list, so that hosts can let them go."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import polars as pl

from subak.archive.store import ArchiveError, FolderArchive
from subak.archive.tables import read_tables
from subak.chain.snapshot import Finalised

log = logging.getLogger("subak.verifier")


class Listed:
    """The verdicts of the newest final ranges; older ones are in the archive."""

    def __init__(self, archive: FolderArchive, ranges: int = 8) -> None:
        self._archive, self._ranges = archive, ranges
        self._tables: dict[bytes, pl.DataFrame] = {}

    def update(self, finals: Sequence[Finalised]) -> None:
        """Read the verdicts of ranges that became final; what this verifier did not settle itself is skipped."""
        # Others read the tables meanwhile, so they are replaced, never changed.
        self._tables = {
            final.verdicts_hash: self._tables[final.verdicts_hash] if final.verdicts_hash in self._tables else self._read(final)
            for final in finals[-self._ranges :]
        }

    def _read(self, final: Finalised) -> pl.DataFrame:
        try:
            tables = read_tables(self._archive, "verdicts", final.verdicts_hash)
        except ArchiveError as error:
            log.info("epochs %d..%d: %s", final.first, final.last, error)
            return pl.DataFrame(schema={"asset": pl.Binary, "sequence": pl.UInt64})
        return pl.concat([table.select("asset", "sequence") for table in tables.values()])

    def sequences(self, asset: bytes) -> list[tuple[int, int]]:
        """Ranges (first, last) of the asset's sequences that are listed."""
        found = sorted(
            {number for table in self._tables.values() for number in table.filter(pl.col("asset") == asset)["sequence"].to_list()}
        )
        ranges: list[tuple[int, int]] = []
        for number in found:
            if ranges and ranges[-1][1] == number - 1:
                ranges[-1] = (ranges[-1][0], number)
            else:
                ranges.append((number, number))
        return ranges
