"""Places: H3 cells as 64-bit integers, without the library that makes them. Bit layout: h3geo.org, "H3 Index"."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FINEST = 15
"""The finest resolution."""
_RESOLUTION_AT = 52
_BITS_A_DIGIT = 3


def parents(cells: NDArray[np.uint64], resolution: int) -> NDArray[np.uint64]:
    """The cell of this resolution around each cell, shape (n,); a cell that is coarser stays as it is."""
    if not 0 <= resolution <= FINEST:
        raise ValueError(f"H3 resolutions are 0 to {FINEST}, got {resolution}")
    own = (cells >> np.uint64(_RESOLUTION_AT)) & np.uint64(15)
    unused = np.uint64((1 << _BITS_A_DIGIT * (FINEST - resolution)) - 1)
    coarser = (cells & ~np.uint64(15 << _RESOLUTION_AT)) | np.uint64(resolution << _RESOLUTION_AT) | unused
    return np.where(own < resolution, cells, coarser)


def within(cells: NDArray[np.uint64], around: int) -> NDArray[np.bool_]:
    """Which cells lie in the cell ``around``, shape (n,); ``around`` 0 is everywhere."""
    if around == 0:
        return np.ones(len(cells), np.bool_)
    same: NDArray[np.bool_] = parents(cells, around >> _RESOLUTION_AT & 15) == np.uint64(around)
    return same
