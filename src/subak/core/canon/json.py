"""Canonical JSON: RFC 8785, with whole numbers only."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

EXACT = 2**53
"""The largest magnitude that every JSON reader keeps exact; integers beyond it are written as strings."""


def encode(value: Any) -> bytes:
    """The one UTF-8 text of ``value``: keys sorted as RFC 8785 says, no blanks, bytes as 0x hex, integers beyond 2^53 as strings.

    Takes None, bool, int, str, bytes, mappings with string keys, lists, tuples, dataclasses and msgspec structs.
    Anything else, floats above all, raises ``TypeError`` that names the path.
    """
    return msgspec.json.encode(_plain(value, "$"))


def hash_json(value: Any) -> bytes:
    """SHA-256 of the canonical text, 32 bytes."""
    return hashlib.sha256(encode(value)).digest()


def _plain(value: Any, path: str) -> Any:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value) if -EXACT <= value <= EXACT else str(int(value))
    if isinstance(value, bytes | bytearray | memoryview):
        return "0x" + value.hex()
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"{path}: a key must be a string, not {type(key).__name__}")
        return {key: _plain(value[key], f"{path}.{key}") for key in sorted(value, key=_utf16)}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{path}[{number}]") for number, item in enumerate(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain({item.name: getattr(value, item.name) for item in dataclasses.fields(value)}, path)
    if isinstance(value, msgspec.Struct):
        return _plain(msgspec.structs.asdict(value), path)
    raise TypeError(f"{path}: {type(value).__name__} has no canonical form")


def _utf16(key: str) -> bytes:
    # RFC 8785 §3.2.3 sorts by UTF-16 code units, which differs from Python's order beyond U+FFFF.
    return key.encode("utf-16-be")
