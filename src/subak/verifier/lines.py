"""Lines of redeemed vouchers: who the money is for that the chain handed over. The chain keeps their hash only."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from subak.archive.tables import MAX_LINE_ROWS
from subak.chain.channels import LaneFact
from subak.core.canon.columns import binary_series
from subak.core.canon.vouchers import Line, lines_fault, lines_hash, lines_hashes
from subak.core.nouns.book import LINES
from subak.verifier.clerk import LINE_BYTES, Clerk, Refused, pack_lines

_WORD = pl.Series([1 << 64], dtype=pl.Int128)


class Lines:
    """Lines by lane, of the voucher that the chain redeemed last: the clerk's own, and what others handed in. From any thread.

    Promise: whatever it gives out hashes to what the chain redeemed. What is lost with the power can be handed in again.
    """

    def __init__(self, path: Path, clerk: Clerk | None = None) -> None:
        """``clerk``: whose vouchers need not be handed in."""
        self._clerk = clerk
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.executescript(
            """
            PRAGMA journal_mode=WAL;
            PRAGMA synchronous=NORMAL;
            CREATE TABLE IF NOT EXISTS lines (lane BLOB PRIMARY KEY, seq INTEGER NOT NULL, hash BLOB NOT NULL, lines BLOB NOT NULL);
            """
        )

    def hand_in(self, seq: int, lines: Sequence[Line], lane: LaneFact | None) -> Refused | None:
        """Keep the lines of a redeemed voucher; None if they are what the chain redeemed, whoever brings them."""
        if lane is None:
            return Refused("unknown_lane", "the chain knows no such lane")
        if not lane.redeemed or seq != lane.seq:
            told = f"last redeemed was seq {lane.seq} with total {lane.redeemed}" if lane.redeemed else "nothing was redeemed on it"
            return Refused("not_redeemed", f"seq is {seq}; of lane {lane.id!r} {told}")
        if (why := lines_fault(lines)) is not None:
            return Refused(why.reason, str(why))
        hashed = lines_hash(lines)
        if hashed != lane.lines:
            return Refused("lines_differ", f"these lines hash to 0x{hashed.hex()}, the chain redeemed {lane.lines!r}")
        owed = sum(line.money for line in lines)
        if owed != lane.redeemed:
            return Refused("lines_do_not_sum", f"the lines sum to {owed}, the chain redeemed {lane.redeemed}")
        self._keep([(lane.id, seq, hashed, pack_lines(lines))])
        return None

    def table(self, redeemed: Mapping[bytes, tuple[int, int, bytes]], taken: Mapping[bytes, int]) -> pl.DataFrame:
        """Lines for a Book: ``LINES``, sorted by lane and asset.

        ``redeemed``: lane to seq, total and hash of the lines of the voucher that was redeemed last. ``taken``: lane to the total whose
        lines a final Book has, which are left out. Left out too are lanes whose lines are not here, and rows beyond ``MAX_LINE_ROWS``.
        """
        wanted = {lane: (seq, hashed) for lane, (seq, total, hashed) in redeemed.items() if taken.get(lane) != total}
        found = self._find(wanted)
        lanes: list[bytes] = []
        rows = 0
        for lane in sorted(found):
            rows += len(found[lane]) // LINE_BYTES
            if rows > MAX_LINE_ROWS:
                break
            lanes.append(lane)
        return _table([(lane, wanted[lane][0], found[lane]) for lane in lanes])

    def missing(self, redeemed: Mapping[bytes, tuple[int, int, bytes]], taken: Mapping[bytes, int]) -> list[bytes]:
        """Lanes, sorted, whose money waits because their lines are not here; arguments as for ``table``."""
        wanted = {lane: (seq, hashed) for lane, (seq, total, hashed) in redeemed.items() if taken.get(lane) != total}
        return sorted(wanted.keys() - self._find(wanted).keys())

    def close(self) -> None:
        """Lets the file go."""
        with self._lock:
            self._db.close()

    def _find(self, wanted: Mapping[bytes, tuple[int, bytes]]) -> dict[bytes, bytes]:
        """Packed lines of these lanes' vouchers (seq, hash), as far as they are here."""
        found: dict[bytes, bytes] = {}
        asked: dict[bytes, bytes] = {}
        with self._lock:
            for lane, (seq, hashed) in wanted.items():
                kept = self._db.execute("SELECT lines FROM lines WHERE lane = ? AND seq = ? AND hash = ?", (lane, seq, hashed)).fetchone()
                if kept:
                    found[lane] = kept[0]
        if self._clerk is not None:
            for lane in wanted.keys() - found.keys():
                if (packed := self._clerk.packed_lines(lane, wanted[lane][0])) is not None:
                    asked[lane] = packed
        # The chain may have redeemed another voucher of this seq: a store that was lost, a clerk that lies.
        hashes = _hashes(list(asked.values()))
        own = {lane: packed for (lane, packed), hashed in zip(asked.items(), hashes, strict=True) if hashed == wanted[lane][1]}
        self._keep([(lane, wanted[lane][0], wanted[lane][1], packed) for lane, packed in own.items()])
        return found | own

    def _keep(self, rows: Sequence[tuple[bytes, int, bytes, bytes]]) -> None:
        if rows:
            with self._lock:
                self._db.execute("BEGIN")
                self._db.executemany("INSERT OR REPLACE INTO lines VALUES (?, ?, ?, ?)", rows)
                self._db.execute("COMMIT")


def _hashes(packed: Sequence[bytes]) -> list[bytes]:
    """Hash of each voucher's packed lines."""
    if not packed:
        return []
    assets, money = _columns(packed)
    counts = np.array([len(each) // LINE_BYTES for each in packed], np.int64)
    return [row.tobytes() for row in lines_hashes(assets, money, counts)]


def _columns(
    packed: Sequence[bytes],
) -> tuple[np.ndarray[tuple[int, int], np.dtype[np.uint8]], np.ndarray[tuple[int, int], np.dtype[np.uint64]]]:
    """Assets (lines, 32) and money (lines, 2), high and low word."""
    rows = np.frombuffer(b"".join(packed), np.uint8).reshape(-1, LINE_BYTES)
    return rows[:, :32], np.ascontiguousarray(rows[:, 32:]).view(">u8").astype(np.uint64)


def _table(vouchers: Sequence[tuple[bytes, int, bytes]]) -> pl.DataFrame:
    """(lane, seq, packed lines) as rows."""
    if not vouchers:
        return pl.DataFrame(schema=LINES)
    assets, money = _columns([packed for _, _, packed in vouchers])
    counts = [len(packed) // LINE_BYTES for _, _, packed in vouchers]
    lanes = pl.DataFrame(
        {"lane": [lane for lane, _, _ in vouchers], "seq": [seq for _, seq, _ in vouchers]}, schema_overrides={"lane": pl.Binary}
    )
    high, low = (pl.Series(np.ascontiguousarray(money[:, word])).cast(pl.Int128) for word in range(2))
    table = lanes[np.repeat(np.arange(len(vouchers)), counts)]
    return table.with_columns(binary_series("asset", assets), (high * _WORD + low).alias("money")).cast(dict(LINES))  # type: ignore[arg-type]
