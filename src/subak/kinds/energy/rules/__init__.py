"""The law of the energy kind. Pure: whole numbers in, whole numbers out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from subak.core.kind import Assets, Carried, Column, Context, Judged, Lines, Reason, Schema, Tasks

from .judge import judge
from .schemas import CARRIED, EXPORT, PARAMETERS, REASONS, REWARDED_EXPORT, SCHEMAS, TABLES


@dataclass(frozen=True)
class EnergyRules:
    """Pays for export that a home's own generation, the sun and its rated power (W) can explain. Implements ``core.kind.Rules``."""

    name: str = "energy"
    version: int = 1
    schemas: tuple[Schema, ...] = SCHEMAS
    reasons: tuple[Reason, ...] = REASONS
    work_units: tuple[str, ...] = (EXPORT, REWARDED_EXPORT)
    carried: tuple[Carried, ...] = CARRIED

    @property
    def tables(self) -> Mapping[str, tuple[str, ...]]:
        return TABLES

    @property
    def parameters(self) -> Mapping[str, int]:
        """Every parameter that a policy may give, with the value that holds where it gives none."""
        return PARAMETERS

    def judge(self, lines: Lines, assets: Assets, carried: Mapping[str, Column], context: Context) -> Judged:
        """See ``judge.judge``."""
        return judge(lines, assets, carried, context)

    def draw(self, assets: Assets, carried: Mapping[str, Column], context: Context) -> Tasks:
        """Nothing is asked: a meter reports by itself."""
        return {}

    def price(self, work: Mapping[str, Column], context: Context) -> Mapping[str, Column]:
        """The bootstrap pot is divided by exported Wh of clock hours that were counted whole."""
        return {"bootstrap": work[REWARDED_EXPORT]}
