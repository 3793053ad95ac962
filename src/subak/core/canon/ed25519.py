"""Ed25519 signatures under one strict rule, so that all verifiers agree on every signature, also on the malicious ones.

The rule is in ``docs/formats.md``: the cofactorless equation of RFC 8032 §5.1.7; S < L; R canonical and not the identity; the key
canonical, in the prime-order subgroup and not the identity. Libraries differ on all of these; ``vectors/ed25519.json`` lists the cases.
libsodium checks the equation, S and R as the rule says; the key is checked here.
"""

from __future__ import annotations

from functools import lru_cache

from nacl.bindings import crypto_core_ed25519_is_valid_point, crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import BadSignatureError

KEY_BYTES = 32
SIGNATURE_BYTES = 64
_P = 2**255 - 19


class KeyRefused(ValueError):
    """The bytes are not a key under the strict rule; the message says why."""


def check_key(key: bytes) -> None:
    """Raises ``KeyRefused`` with the reason unless ``key`` is the canonical encoding of a point of prime order. Answers are cached."""
    fault = _fault(key)
    if fault is not None:
        raise KeyRefused(fault)


def verify(key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether ``signature`` (R‖S, 64 bytes) is ``key``'s over ``message`` under the strict rule. Never raises on bad input."""
    return _fault(key) is None and verify_checked(key, signature, message)


def verify_checked(key: bytes, signature: bytes, message: bytes) -> bool:
    """The same for a key that passed ``check_key`` before, for example when it was registered: half the work for keys not in the cache."""
    # The library reads 32 and 64 bytes without looking at the lengths.
    if len(signature) != SIGNATURE_BYTES or len(key) != KEY_BYTES:
        return False
    try:
        crypto_sign_open(signature + message, key)
    except BadSignatureError:
        return False
    return True


def public_key(seed: bytes) -> bytes:
    """The 32-byte key that belongs to a 32-byte private seed."""
    return _pair(seed)[0]


def sign(seed: bytes, message: bytes) -> bytes:
    """The 64-byte signature of RFC 8032 by a 32-byte private seed; deterministic."""
    return crypto_sign(message, _pair(seed)[1])[:SIGNATURE_BYTES]


@lru_cache(maxsize=64)
def _pair(seed: bytes) -> tuple[bytes, bytes]:
    public, secret = crypto_sign_seed_keypair(seed)
    return public, secret


@lru_cache(maxsize=1 << 16)
def _fault(key: bytes) -> str | None:
    if len(key) != KEY_BYTES:
        return f"an Ed25519 key has 32 bytes, not {len(key)}"
    if int.from_bytes(key, "little") & (2**255 - 1) >= _P:
        return "the key is not canonically encoded"
    if not crypto_core_ed25519_is_valid_point(key):
        return "the key is not a point of the prime-order subgroup"
    return None
