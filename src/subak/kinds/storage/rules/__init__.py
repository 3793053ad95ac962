"""The law of the storage kind. Pure: bytes and whole numbers in, whole numbers out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from subak.core.kind import Assets, Carried, Column, Context, Judged, Lines, Reason, Schema, Tasks

from .judge import draw, judge
from .schemas import CARRIED, KIB_HOURS, PARAMETERS, REASONS, SCHEMAS


@dataclass(frozen=True)
class StorageRules:
    """Measures KiB-hours that a host can prove by answering for leaves drawn by lot; rated in KiB. Implements ``core.kind.Rules``."""

    name: str = "storage"
    version: int = 1
    schemas: tuple[Schema, ...] = SCHEMAS
    reasons: tuple[Reason, ...] = REASONS
    work_units: tuple[str, ...] = (KIB_HOURS,)
    carried: tuple[Carried, ...] = CARRIED

    @property
    def tables(self) -> Mapping[str, tuple[str, ...]]:
        """It needs none."""
        return {}

    @property
    def parameters(self) -> Mapping[str, int]:
        """Every parameter that a policy may give, with the value that holds where it gives none."""
        return PARAMETERS

    def judge(self, lines: Lines, assets: Assets, carried: Mapping[str, Column], context: Context) -> Judged:
        """See ``judge.judge``."""
        return judge(lines, assets, carried, context)

    def draw(self, assets: Assets, carried: Mapping[str, Column], context: Context) -> Tasks:
        """See ``judge.draw``."""
        return draw(assets, carried, context)

    def price(self, work: Mapping[str, Column], context: Context) -> Mapping[str, Column]:
        """No pot: data of one's own making must not be paid. The kind earns fees and usage rewards."""
        return {}
