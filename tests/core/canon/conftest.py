from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

VECTORS = Path(__file__).parents[3] / "vectors"


@pytest.fixture(scope="session")
def vectors() -> Callable[[str], Any]:
    """The golden vectors of a file in ``vectors/``; every 0x string as bytes."""

    def read(name: str) -> Any:
        return _bytes(json.loads((VECTORS / name).read_text()))

    return read


def _bytes(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("0x"):
        return bytes.fromhex(value[2:])
    if isinstance(value, dict):
        return {key: _bytes(item) for key, item in value.items()}
    return [_bytes(item) for item in value] if isinstance(value, list) else value
