"""Signatures of devices on any curve that may sign Entries: Ed25519 and P-256, each under its one strict rule (``docs/formats.md``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from subak.core.canon import ed25519, p256
from subak.core.canon.ed25519 import KeyRefused
from subak.core.canon.ids import ED25519, P256

__all__ = ["CheckedKey", "KeyRefused", "check_key", "checked", "verify"]

Verify = Callable[[bytes, bytes, bytes], bool]
"""Whether of (key, signature, message) the signature holds."""


@dataclass(frozen=True, slots=True)
class CheckedKey:
    """A public key that holds under the rule of its curve, so that of a signature only the rest is left to check."""

    raw: bytes
    """Its bytes."""
    holds: Verify
    """Of (``raw``, signature, message), whether the signature holds. The curve's own function: a hot loop pays for no call in between."""


def check_key(curve: int, key: bytes) -> None:
    """Raises ``KeyRefused`` with the reason unless ``key`` is a key of ``curve`` under its strict rule. Answers are cached."""
    if curve not in _CHECK:
        raise KeyRefused(f"unknown curve {curve}: 1 is Ed25519, 2 is P-256")
    _CHECK[curve](key)


def checked(curve: int, key: bytes) -> CheckedKey:
    """The key with what verifies its signatures. Errors: as ``check_key``."""
    check_key(curve, key)
    return CheckedKey(key, _HOLDS[curve])


def verify(curve: int, key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether ``signature`` is ``key``'s over ``message`` under the strict rule of ``curve``. Never raises on bad input."""
    return curve in _VERIFY and _VERIFY[curve](key, signature, message)


_CHECK: Mapping[int, Callable[[bytes], None]] = {ED25519: ed25519.check_key, P256: p256.check_key}
_VERIFY: Mapping[int, Verify] = {ED25519: ed25519.verify, P256: p256.verify}
_HOLDS: Mapping[int, Verify] = {ED25519: ed25519.verify_checked, P256: p256.verify}
