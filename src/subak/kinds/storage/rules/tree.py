"""The tree over what a host keeps: SHA-256, tagged as RFC 6962 tags it, and of a shape that the number of pieces alone decides.

A leaf is 1 KiB. A piece is 256 leaves; its name is the root over them. A *set* is a list of slots, each with a piece or empty; its tree has
the slots as leaves, filled up with empty ones to a power of two. So all leaves of a set have the same depth, leaf *i* is in slot
*i* // 256, and the bits of *i* say on which side each sibling stands: a path has no height or direction of its own to lie about.

    hash of a leaf   SHA-256(0x00 ‖ leaf)
    hash of a node   SHA-256(0x01 ‖ left ‖ right)
    an empty slot    32 zero bytes, which is the hash of nothing
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import numpy as np

LEAF_BYTES: Final = 1024
PIECE_LEAVES: Final = 256
PIECE_BYTES: Final = LEAF_BYTES * PIECE_LEAVES
PIECE_DEPTH: Final = 8
"""Hashes from a leaf to the root of its piece."""
PIECE_KIB: Final = PIECE_BYTES // 1024
MOST_PIECES: Final = 1 << 24
"""4 TiB: a path then has 32 hashes, which is what an answer has room for."""
EMPTY: Final = bytes(32)
"""The root of an empty slot, and of the set without slots."""

# Starting from a copy is a tenth faster than a new hash over joined bytes.
_leaf_started = hashlib.sha256(b"\0").copy
_node_started = hashlib.sha256(b"\1").copy


def leaf_hash(leaf: bytes) -> bytes:
    """SHA-256(0x00 ‖ leaf), 32 bytes."""
    return hashlib.sha256(b"\0" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 ‖ left ‖ right), 32 bytes."""
    return hashlib.sha256(b"\1" + left + right).digest()


def piece_levels(piece: bytes | bytearray | memoryview) -> list[list[bytes]]:
    """Every hash of a piece: its 256 leaves first, its root last. ValueError unless it has 262,144 bytes."""
    if len(piece) != PIECE_BYTES:
        raise ValueError(f"a piece has {PIECE_BYTES} bytes, not {len(piece)}")
    level: list[bytes] = []
    for leaf in np.frombuffer(piece, f"V{LEAF_BYTES}").tolist():
        started = _leaf_started()
        started.update(leaf)
        level.append(started.digest())
    levels = [level]
    while len(level) > 1:
        level = _parents(level)
        levels.append(level)
    return levels


def piece_root(piece: bytes | bytearray | memoryview) -> bytes:
    """The name of a piece, 32 bytes. ValueError unless it has 262,144 bytes."""
    return piece_levels(piece)[-1][0]


def depth_of(pieces: int) -> int:
    """Hashes from a slot to the root of a set of so many slots: ceil(log2(pieces)). ValueError unless 1 to 2^24."""
    if not 1 <= pieces <= MOST_PIECES:
        raise ValueError(f"a set has 1 to {MOST_PIECES} slots, not {pieces}")
    return (pieces - 1).bit_length()


class SetTree:
    """The tree over the slots of a set. It never changes; half a microsecond and 64 bytes a slot."""

    def __init__(self, roots: Sequence[bytes]) -> None:
        """``roots``: the root of each slot's piece, ``EMPTY`` where there is none. ValueError for more than 2^24 or one not of 32 bytes."""
        if len(roots) > MOST_PIECES or any(len(root) != 32 for root in roots):
            lengths = sorted({len(root) for root in roots})
            raise ValueError(f"a set has up to {MOST_PIECES} roots of 32 bytes, not {len(roots)} of {lengths} bytes")
        self.pieces = len(roots)
        """How many slots it has, empty ones included."""
        level = list(roots) or [EMPTY]
        empty = EMPTY
        self._levels = [level]
        self._empties = [empty]
        while len(level) > 1:
            # The right edge is filled up with empty subtrees of this height.
            level = _parents(level if len(level) % 2 == 0 else [*level, empty])
            empty = node_hash(empty, empty)
            self._levels.append(level)
            self._empties.append(empty)

    @property
    def root(self) -> bytes:
        """32 bytes; ``EMPTY`` for a set without slots."""
        return self._levels[-1][0]

    @property
    def depth(self) -> int:
        """Hashes from a slot to the root."""
        return len(self._levels) - 1

    def slot(self, number: int) -> bytes:
        """The root of the piece in a slot, or ``EMPTY``. IndexError beyond the last slot."""
        if not 0 <= number < self.pieces:
            raise IndexError(f"slot {number} of a set with {self.pieces}")
        return self._levels[0][number]

    def place_path(self, slot: int) -> list[bytes]:
        """The ``depth`` siblings from a slot up. IndexError beyond the last slot."""
        self.slot(slot)
        path = []
        for level, empty in zip(self._levels[:-1], self._empties, strict=False):
            sibling = slot ^ 1
            path.append(level[sibling] if sibling < len(level) else empty)
            slot >>= 1
        return path

    def path_of(self, index: int, levels: Sequence[Sequence[bytes]] | None) -> list[bytes]:
        """The 8 + ``depth`` siblings of leaf ``index`` of the set; ``levels``: ``piece_levels`` of its piece, None for an empty slot."""
        slot, leaf = divmod(index, PIECE_LEAVES)
        place = self.place_path(slot)
        inside = [EMPTY] * PIECE_DEPTH if levels is None else [level[leaf >> height ^ 1] for height, level in enumerate(levels[:-1])]
        return inside + place


def set_root(roots: Sequence[bytes]) -> bytes:
    """Root of the set with these slots; ``EMPTY`` for none."""
    return SetTree(roots).root


def follow(hashed: bytes, number: int, path: Sequence[bytes]) -> bytes:
    """The root that a path leads to from a hash that stands at place ``number`` of its level."""
    for sibling in path:
        hashed = node_hash(sibling, hashed) if number & 1 else node_hash(hashed, sibling)
        number >>= 1
    return hashed


def check_place(piece: bytes, slot: int, pieces: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether the piece with this root is in ``slot`` of the set with ``pieces`` slots and this root. False for whatever does not fit."""
    if not (0 <= slot < pieces <= MOST_PIECES) or len(path) != depth_of(pieces) or any(len(each) != 32 for each in (piece, *path)):
        return False
    return follow(piece, slot, path) == root


def check_path(leaf: bytes, index: int, pieces: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether these 1,024 bytes are leaf ``index`` of the set of ``pieces`` slots with this root. False for whatever does not fit."""
    if len(leaf) != LEAF_BYTES or len(path) < PIECE_DEPTH or any(len(each) != 32 for each in path):
        return False
    piece = follow(leaf_hash(leaf), index % PIECE_LEAVES, path[:PIECE_DEPTH])
    return check_place(piece, index // PIECE_LEAVES, pieces, path[PIECE_DEPTH:], root)


def check_empty(index: int, pieces: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether the slot of leaf ``index`` is empty in this set. The path is as long as a leaf's and starts with 8 times 32 zero bytes."""
    nothing = list(path[:PIECE_DEPTH]) == [EMPTY] * PIECE_DEPTH
    return nothing and check_place(EMPTY, index // PIECE_LEAVES, pieces, path[PIECE_DEPTH:], root)


def _parents(level: Sequence[bytes]) -> list[bytes]:
    """The level above one of an even number of hashes."""
    above: list[bytes] = []
    each = iter(level)
    for left, right in zip(each, each, strict=True):
        started = _node_started()
        started.update(left + right)
        above.append(started.digest())
    return above
