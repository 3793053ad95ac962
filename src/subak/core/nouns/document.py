"""Documents: nouns that travel as canonical JSON and are named by its hash."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec


class _Hex(bytes):
    """Bytes that stand as ``0x…`` in JSON."""

    LENGTH = 0

    def __repr__(self) -> str:
        return "0x" + self.hex()


class Hash(_Hex):
    """32 bytes: a hash, an id, a root."""

    LENGTH = 32


class Address(_Hex):
    """20 bytes: an account on the chain."""

    LENGTH = 20


class Signature(_Hex):
    """64 bytes: EIP-2098 compact for accounts."""

    LENGTH = 64


T = TypeVar("T")


def _from_json(kind: type, value: Any) -> Any:
    if not issubclass(kind, _Hex):
        raise NotImplementedError(f"no JSON form for {kind.__name__}")
    if not isinstance(value, str) or not value.startswith("0x"):
        raise ValueError(f"{kind.__name__} is 0x-hex, got {value!r}")
    raw = bytes.fromhex(value[2:])
    if len(raw) != kind.LENGTH:
        raise ValueError(f"{kind.__name__} has {kind.LENGTH} bytes, got {len(raw)}")
    return kind(raw)


def convert(value: Any, kind: type[T]) -> T:
    """``value`` (parsed JSON or TOML) as the noun ``kind``. Errors: msgspec.ValidationError naming the field."""
    return msgspec.convert(value, kind, dec_hook=_from_json, strict=False)


def decode(raw: bytes, kind: type[T]) -> T:
    """The noun that these JSON bytes hold. Errors: msgspec.DecodeError, msgspec.ValidationError naming the field."""
    return msgspec.json.decode(raw, type=kind, dec_hook=_from_json, strict=False)
