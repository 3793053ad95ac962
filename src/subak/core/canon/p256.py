"""P-256 signatures (ECDSA of FIPS 186-5 over SHA-256) under one strict rule: the curve of secure elements, TPMs and phones.

The rule is in ``docs/formats.md``: a key is a compressed point of 33 bytes, on the curve, x < p; a signature is r‖s, 64 bytes, with
0 < r < n and 0 < s ≤ n/2. Libraries take more than that: either s, DER with its lengths, uncompressed points; ``vectors/p256.json`` lists
the cases. OpenSSL checks the equation and whether the point exists; everything else is checked here.
"""

from __future__ import annotations

from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from subak.core.canon.ed25519 import KeyRefused

KEY_BYTES = 33
SIGNATURE_BYTES = 64
SECRET_BYTES = 32
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Number n of points of the group."""
_P = 2**256 - 2**224 + 2**192 + 2**96 - 1
_HALF = ORDER >> 1
_CURVE = ec.SECP256R1()
_VERIFYING = ec.ECDSA(hashes.SHA256())
_SIGNING = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)


def check_key(key: bytes) -> None:
    """Raises ``KeyRefused`` with the reason unless ``key`` is a compressed point of the curve. Answers are cached."""
    fault = _public(key)
    if isinstance(fault, str):
        raise KeyRefused(fault)


def verify(key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether ``signature`` (r‖s, 64 bytes, low s) is ``key``'s over ``message`` under the strict rule. Never raises on bad input."""
    if len(signature) != SIGNATURE_BYTES:
        return False
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    if not (0 < r < ORDER and 0 < s <= _HALF):
        return False
    public = _public(key)
    if isinstance(public, str):
        return False
    try:
        public.verify(encode_dss_signature(r, s), message, _VERIFYING)
    except InvalidSignature:
        return False
    return True


def point(key: bytes) -> tuple[int, int]:
    """The coordinates x and y of a key, as Solidity takes them. Errors: KeyRefused."""
    public = _public(key)
    if isinstance(public, str):
        raise KeyRefused(public)
    numbers = public.public_numbers()
    return numbers.x, numbers.y


def public_key(secret: bytes) -> bytes:
    """The 33-byte key that belongs to a private key of 32 bytes. Errors: ValueError if it is 0 or not below ``ORDER``."""
    return _private(secret).public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)


def sign(secret: bytes, message: bytes) -> bytes:
    """The 64-byte signature, with low s, by a private key of 32 bytes; deterministic (RFC 6979). Errors: as ``public_key``."""
    r, s = decode_dss_signature(_private(secret).sign(message, _SIGNING))
    return r.to_bytes(32, "big") + min(s, ORDER - s).to_bytes(32, "big")


@lru_cache(maxsize=64)
def _private(secret: bytes) -> ec.EllipticCurvePrivateKey:
    scalar = int.from_bytes(secret, "big")
    if len(secret) != SECRET_BYTES or not 0 < scalar < ORDER:
        raise ValueError(f"a private key is 32 bytes between 0 and the group's order, got {len(secret)} bytes that are not")
    return ec.derive_private_key(scalar, _CURVE)


# A key that is read anew takes a quarter of a verification; one that is kept, 2 KiB.
@lru_cache(maxsize=1 << 14)
def _public(key: bytes) -> ec.EllipticCurvePublicKey | str:
    """The key as the library holds it, or why it is none."""
    if len(key) != KEY_BYTES:
        return f"a P-256 key has 33 bytes, compressed, not {len(key)}"
    if key[0] not in (2, 3):
        return f"a compressed P-256 key begins with 02 or 03, not {key[0]:02x}"
    if int.from_bytes(key[1:], "big") >= _P:
        return "the key is not canonically encoded: x is not below p"
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, key)
    except ValueError:
        return "the key is not a point of P-256"
