"""The contract between the core and a kind of infrastructure.

A kind is one package behind one entry point (group ``subak.kinds``). Only ``rules`` is required. Rules work on columns: a *grid* whose
row *k* holds every asset's *k*-th line in time order and whose column *a* is an asset. They read no clock, roll no dice and touch nothing
outside their arguments, so that everyone who runs them over the same Book gets the same bytes.

Two very different kinds shaped it: a meter that reports by itself, and a disk that has to be asked (docs/decisions/0013).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from subak.core.nouns.network import Clock

Column = NDArray[np.int64]
Mask = NDArray[np.bool_]
Codes = NDArray[np.uint8]

FIRST_KIND_REASON = 64
"""Reason codes below this belong to the core; a kind numbers its own from here to 255."""

WORDS = {"u63": 1, "u128": 2, "address": 4, "bytes32": 4, "bytes128": 16, "bytes1024": 128}
"""Words of 8 bytes that one field of each type takes in an Entry's row."""
BYTES = {"address": 20, "bytes32": 32, "bytes128": 128, "bytes1024": 1024}
"""Bytes of the types that hold bytes; they stand at the end of their words."""


class Status(IntEnum):
    """What became of a line."""

    ACCEPTED = 0
    HELD = 1
    REFUSED = 2


@dataclass(frozen=True)
class Reason:
    """Why a line was accepted, held or refused."""

    code: int
    """One byte, as it stands in the verdict file."""
    name: str
    """A short identifier, for programs: ``counter_dropped``."""
    status: Status
    """What it means for the line."""
    sentence: str
    """What the owner reads, without a full stop: "the counter ran backwards"."""


@dataclass(frozen=True)
class Field:
    """One value of an Entry's row."""

    name: str
    """Name with its unit: ``export_wh``."""
    type: str = "u63"
    """A key of ``WORDS``."""


@dataclass(frozen=True)
class Schema:
    """The shape of an Entry's rows. Any change of name, version or fields changes ``id``, so old signatures never fit a new meaning."""

    name: str
    """Dotted, kind first: ``energy.reading``."""
    version: int
    """Counts up when the meaning changes though the fields do not."""
    fields: tuple[Field, ...]
    """In the order of the signed bytes."""

    @property
    def text(self) -> str:
        """What the id hashes: ``energy.reading/1(export_wh:u63,…)``."""
        return f"{self.name}/{self.version}({','.join(f'{f.name}:{f.type}' for f in self.fields)})"

    @cached_property
    def id(self) -> bytes:
        """8 bytes that stand in the Entry's header."""
        return hashlib.sha256(self.text.encode()).digest()[:8]

    @cached_property
    def row_words(self) -> int:
        """Words of 8 bytes in a row."""
        return sum(WORDS[f.type] for f in self.fields)


@dataclass(frozen=True)
class Carried:
    """A whole number that the rules remember about each asset from one epoch to the next."""

    name: str
    """Name with its unit: ``mark_export_wh``."""
    start: int = 0
    """Its value for an asset that was never judged."""


@dataclass(frozen=True)
class Lines:
    """The lines of a block of assets as a grid, each array of shape (lines, assets)."""

    present: Mask
    """False where an asset has fewer lines than the grid has rows; every other array is 0 there."""
    schema: Codes
    """Index into the rules' ``schemas``."""
    start_unix_s: Column
    """Start of the line's interval."""
    end_unix_s: Column
    """End of it, exclusive; lines of one asset stand in order of end, then of the Book."""
    fields: Mapping[str, NDArray[Any]]
    """Every field of the rules' schemas, 0 where a line's schema lacks it: a ``u63`` as int64 in [0, 2^63), bytes as uint8 of shape
    (lines, assets, bytes)."""


@dataclass(frozen=True)
class Assets:
    """Facts of the chain snapshot about the block's assets, each array of shape (assets,)."""

    cell: NDArray[np.uint64]
    """H3 index of where it stands."""
    rated: Column
    """Rated capacity in the kind's unit (energy: W, storage: KiB)."""
    id: NDArray[np.uint8]
    """Id of the asset, shape (assets, 32)."""

    def __len__(self) -> int:
        return len(self.rated)


@dataclass(frozen=True)
class Context:
    """What the policy and the epoch give to the rules."""

    parameters: Mapping[str, int]
    """The policy's whole numbers for this kind."""
    tables: Mapping[str, Mapping[str, NDArray[Any]]]
    """The policy's limit tables: name to columns."""
    first_unix_s: int
    """Start of the epoch."""
    end_unix_s: int
    """End of the epoch, exclusive."""
    epoch: int = 0
    """Number of the epoch."""
    seed: bytes = b""
    """32 bytes that nobody knew before the Book of the epoch before was opened; empty if nothing is asked in this epoch."""


Tasks = Mapping[str, NDArray[np.int64]]
"""Questions to assets, by name: each array of shape (tasks, assets)."""


@dataclass(frozen=True)
class Judged:
    """What the rules found for one block."""

    reasons: Codes
    """Code of each line, shape (lines, assets); whatever stands where no line is present is ignored."""
    work: Mapping[str, Column]
    """Accepted work of each line by unit, shape (lines, assets); zero unless the line was accepted."""
    carried: Mapping[str, Column]
    """Every declared carried column after the last line, shape (assets,)."""


class Rules(Protocol):
    """A kind's law. Everything here is pure."""

    @property
    def name(self) -> str:
        """The kind's name, as registered on chain."""

    @property
    def version(self) -> int:
        """Counts up when a judgement could change."""

    @property
    def schemas(self) -> tuple[Schema, ...]:
        """The Entries it judges."""

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Every reason it may give; codes from ``FIRST_KIND_REASON``. ``ACCEPTED`` of the core may be used too."""

    @property
    def work_units(self) -> tuple[str, ...]:
        """Names of the work columns; the first is the one that statements and the asset tree show."""

    @property
    def carried(self) -> tuple[Carried, ...]:
        """What it remembers about each asset."""

    @property
    def tables(self) -> Mapping[str, tuple[str, ...]]:
        """Limit tables that a policy must give: name to column names."""

    def judge(self, lines: Lines, assets: Assets, carried: Mapping[str, Column], context: Context) -> Judged:
        """A reason and the accepted work for every line, in time order. Never raises on well-formed input.

        Called once an epoch for every live asset: one that sent nothing has no line present, so that silence can be judged too.
        """

    def draw(self, assets: Assets, carried: Mapping[str, Column], context: Context) -> Tasks:
        """What these assets are asked in this epoch, from ``context.seed`` and what was carried into it; empty if nothing is asked."""

    def price(self, work: Mapping[str, Column], context: Context) -> Mapping[str, Column]:
        """What each pot is divided by: pot name to units per asset. ``bootstrap`` is the only pot; a kind without it earns fees only."""


class Source(Protocol):
    """What a kind runs beside a device."""

    @property
    def schema(self) -> Schema:
        """Schema of the rows it gives."""

    async def row(self) -> Sequence[int] | str:
        """The values of one row now, in the schema's order; or in words why there are none."""

    async def close(self) -> None:
        """Let the device go."""


class Desk(Protocol):
    """What the agent gives to a worker: time, a pen, and the till."""

    @property
    def asset(self) -> bytes:
        """Id of the asset that the worker serves."""

    @property
    def clock(self) -> Clock:
        """When epochs begin and end."""

    def now(self) -> int:
        """Network time."""

    async def until(self, unix_s: int) -> None:
        """Returns when network time is ``unix_s``."""

    def put(self, schema: Schema, start_unix_s: int, interval_seconds: int, rows: Sequence[Sequence[Any]]) -> None:
        """Sign an Entry, keep it in the outbox and post it."""

    async def tasks(self, epoch: int) -> Asked | None:
        """What the asset is asked in an epoch, as far as verifiers can tell now; None while they cannot, or if it is asked nothing."""

    async def admit(self, lane: bytes, until_unix_s: int, signature: bytes) -> str | None:
        """None if this lane may be served now; else why not, in words for the customer."""

    def owe(self, lane: bytes, money: int) -> None:
        """This lane was served for so many payment units."""

    def account(self, lane: bytes) -> Mapping[str, int]:
        """Where the lane stands at this host: owed, covered, exposure, bound; payment units."""


@dataclass(frozen=True)
class Asked:
    """What ``Rules.draw`` starts from for one asset in one epoch."""

    seed: bytes
    """``Context.seed``."""
    carried: Mapping[str, int]
    """What the rules carried into the epoch about the asset."""
    parameters: Mapping[str, int] = field(default_factory=dict)
    """The policy's whole numbers for the kind."""


@runtime_checkable
class Worker(Protocol):
    """What a kind runs beside a device that is more than a meter."""

    async def run(self, desk: Desk) -> None:
        """Until cancelled."""


@dataclass(frozen=True)
class Kind:
    """What an entry point of group ``subak.kinds`` gives."""

    rules: Rules
    """The law; the only required part."""
    host: Callable[[Mapping[str, Any]], Source | Worker] | None = None
    """Makes what runs beside one device from its table in ``host.toml``: a source that is read every interval, or a worker."""
    commands: Callable[[], Any] | None = None
    """More commands for the door."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """Words for people: unit names for statements and pages."""


ACCEPTED = 0
"""Code of the core's plain acceptance, shared by all kinds."""
