"""Energy: homes that export what their panels produce. SunSpec over Modbus at the device, watt-hours on the chain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from subak.core.kind import Kind, Source

from .rules import EnergyRules


def _source(table: Mapping[str, Any]) -> Source:
    from .host.source import from_table  # pymodbus is only needed beside a device

    return from_table(table)


kind = Kind(
    rules=EnergyRules(),
    host=_source,
    notes={"export_wh": "Wh exported", "rewarded_export_wh": "Wh that share the bootstrap reward", "rated": "W"},
)
"""What the entry point ``subak.kinds`` gives."""
