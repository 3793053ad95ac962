"""keccak-256 as Ethereum uses it, one message at a time or many at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import sha3
from numpy.typing import NDArray

try:
    from subak.core.canon import _keccak
except ImportError:  # no C compiler when the package was installed
    _keccak = None  # type: ignore[assignment]

Rows = NDArray[np.uint8]
"""Byte strings of one length, one a row: shape (n, length)."""


def keccak256_reference(data: bytes | bytearray | memoryview) -> bytes:
    """The same as ``keccak256``, by safe-pysha3; tests compare the two."""
    return bytes(sha3.keccak_256(data).digest())


keccak256: Callable[[bytes | bytearray | memoryview], bytes] = keccak256_reference if _keccak is None else _keccak.keccak
"""The 32-byte keccak-256 of bytes (Keccak submission, padding 0x01; not the later SHA3-256)."""


def keccak_rows(rows: Rows) -> Rows:
    """keccak-256 of each row: (n, length) to (n, 32). The C extension takes eight rows at once; without it the reference serves."""
    if _keccak is None:
        return keccak_rows_reference(rows)
    _check(rows)
    out = np.empty((len(rows), 32), np.uint8)
    _keccak.keccak_many(np.ascontiguousarray(rows).data, rows.shape[1], out.data)
    return out


def keccak_rows_reference(rows: Rows) -> Rows:
    """The same as ``keccak_rows``, row by row; tests compare the two."""
    _check(rows)
    joined = b"".join(keccak256(row.tobytes()) for row in rows)
    return np.frombuffer(bytearray(joined), np.uint8).reshape(-1, 32)


def _check(rows: Rows) -> None:
    if rows.ndim != 2 or rows.dtype != np.uint8:
        raise ValueError(f"rows must be uint8 of shape (n, length), not {rows.dtype} of shape {rows.shape}")
