"""Storage: disks that keep other people's pieces and prove it by answering for leaves drawn by lot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from subak.core.kind import Kind, Worker

from .rules import StorageRules


def _worker(table: Mapping[str, Any]) -> Worker:
    from .host.worker import from_table  # httptools is only needed beside a disk

    return from_table(table)


kind = Kind(
    rules=StorageRules(),
    host=_worker,
    notes={"kib_hours": "KiB hours kept and proven", "rated": "KiB"},
)
"""What the entry point ``subak.kinds`` gives."""
