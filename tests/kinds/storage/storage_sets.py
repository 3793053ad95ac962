"""Hosts of the storage kind as tests see them: what they keep, what they sign, and how they are judged."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from subak.core.kind import BYTES, Assets, Column, Context, Judged, Lines
from subak.kinds.storage import kind
from subak.kinds.storage.rules import tree
from subak.kinds.storage.rules.judge import leaf_of
from subak.kinds.storage.rules.schemas import ANSWER, PIECES, ROOT, SCHEMAS, SET, SIGNED

RULES = kind.rules
HOUR_S = 3600
ROOMY_KIB = 1 << 32


def named(name: str) -> bytes:
    """32 bytes for a name: an asset's id, a seed."""
    return hashlib.sha256(name.encode()).digest()


@cache
def piece(name: str) -> bytes:
    """262,144 bytes that nobody can compress."""
    return hashlib.shake_256(name.encode()).digest(tree.PIECE_BYTES)


@cache
def levels(name: str) -> list[list[bytes]]:
    return tree.piece_levels(piece(name))


class Kept:
    """A set of named pieces in slots; ``-`` is an empty slot."""

    def __init__(self, names: str | Sequence[str]) -> None:
        self.names = names.split() if isinstance(names, str) else list(names)
        self.tree = tree.SetTree([tree.EMPTY if name == "-" else levels(name)[-1][0] for name in self.names])

    @property
    def root(self) -> bytes:
        return self.tree.root

    @property
    def pieces(self) -> int:
        return len(self.names)

    def proof(self, index: int) -> tuple[bytes, list[bytes]]:
        """A leaf of the set and the hashes from it to the root."""
        name = self.names[index // tree.PIECE_LEAVES]
        if name == "-":
            return bytes(tree.LEAF_BYTES), self.tree.path_of(index, None)
        at = index % tree.PIECE_LEAVES * tree.LEAF_BYTES
        return piece(name)[at : at + tree.LEAF_BYTES], self.tree.path_of(index, levels(name))

    def answer(self, seed: bytes, asset: bytes, task: int) -> tuple[bytes, list[bytes]]:
        """The proof that a task asks for."""
        return self.proof(leaf_of(seed, asset, task, self.pieces))


@dataclass(frozen=True)
class Signed:
    """One line that a host signed."""

    schema: int
    end_unix_s: int
    values: Mapping[str, int | bytes]


def a_set(unix_s: int, root: bytes, pieces: int) -> Signed:
    return Signed(SCHEMAS.index(SET), unix_s, {"root": root, "pieces": pieces})


def an_answer(unix_s: int, epoch: int, task: int, leaf: bytes, path: Sequence[bytes]) -> Signed:
    values: dict[str, int | bytes] = {"epoch": epoch, "task": task, "leaf": leaf, "path": b"".join(path).ljust(1024, b"\0")}
    return Signed(SCHEMAS.index(ANSWER), unix_s, values)


def grid(lines: Sequence[Sequence[Signed]]) -> Lines:
    """Each asset's lines, in order, as the rules see them."""
    shape = max(map(len, lines), default=0), len(lines)
    fields: dict[str, Any] = {
        field.name: np.zeros((*shape, BYTES[field.type]), np.uint8) if field.type in BYTES else np.zeros(shape, np.int64)
        for schema in SCHEMAS
        for field in schema.fields
    }
    present, schema = np.zeros(shape, np.bool_), np.zeros(shape, np.uint8)
    start, end = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for a, signed in enumerate(lines):
        for k, line in enumerate(signed):
            present[k, a], schema[k, a], end[k, a] = True, line.schema, line.end_unix_s
            start[k, a] = line.end_unix_s - (line.schema == SCHEMAS.index(ANSWER))
            for name, value in line.values.items():
                fields[name][k, a] = np.frombuffer(value, np.uint8) if isinstance(value, bytes) else value
    return Lines(present, schema, start, end, fields)


def assets(ids: Sequence[bytes], rated_kib: int = ROOMY_KIB) -> Assets:
    return Assets(
        id=np.frombuffer(b"".join(ids), np.uint8).reshape(-1, 32),
        cell=np.zeros(len(ids), np.uint64),
        rated=np.full(len(ids), rated_kib, np.int64),
    )


def in_force(kept: Iterable[Kept | None], unix_s: int = 1) -> dict[str, Column]:
    """The carried columns of hosts that signed these sets some time ago; None for one that signed none."""
    each = [in_force_as(tree.EMPTY, 0, 0) if one is None else in_force_as(one.root, one.pieces, unix_s) for one in kept]
    return {column.name: np.array([int(one[column.name][0]) for one in each], np.int64) for column in RULES.carried}


def in_force_as(root: bytes, pieces: int, unix_s: int = 1) -> dict[str, Column]:
    """The carried columns of one host with a set of which only root and size are known."""
    columns = {column.name: np.full(1, column.start, np.int64) for column in RULES.carried}
    columns[PIECES][0], columns[SIGNED][0] = pieces, unix_s
    for name, word in zip(ROOT, np.frombuffer(root, ">i8").tolist(), strict=True):
        columns[name][0] = word
    return columns


def epoch_context(epoch: int, seed: bytes, tasks_per_day: int, seconds: int = HOUR_S) -> Context:
    first = 1_700_000_000 // HOUR_S * HOUR_S + epoch * seconds
    return Context({"tasks_per_day": tasks_per_day}, {}, first, first + seconds, epoch=epoch, seed=seed)


def judge(lines: Sequence[Sequence[Signed]], of: Assets, carried: Mapping[str, Column], context: Context) -> Judged:
    return RULES.judge(grid(lines), of, carried, context)


def names(judged: Judged, lines: Sequence[Sequence[Signed]], asset: int = 0) -> list[str]:
    """Reason names of one asset's lines; ``proven`` for the core's plain acceptance."""
    by_code = {0: "proven", **{reason.code: reason.name for reason in RULES.reasons}}
    return [by_code[int(judged.reasons[k, asset])] for k in range(len(lines[asset]))]


def earned(judged: Judged, asset: int = 0) -> int:
    return int(judged.work["kib_hours"][:, asset].sum())
