"""P-256 in plain integers (SEC 2 §2.4.2, FIPS 186-5 §6.4), slow and plain: it makes the signatures that no library would make, and judges
them."""

from __future__ import annotations

import hashlib

P = 2**256 - 2**224 + 2**192 + 2**96 - 1
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
HALF = N // 2

Point = tuple[int, int] | None
"""None is the point at infinity."""
G: Point = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)


def add(a: Point, b: Point) -> Point:
    if a is None or b is None:
        return a or b
    (x1, y1), (x2, y2) = a, b
    if x1 == x2 and (y1 + y2) % P == 0:
        return None
    slope = (3 * x1 * x1 - 3) * pow(2 * y1, -1, P) if a == b else (y2 - y1) * pow(x2 - x1, -1, P)
    x = (slope * slope - x1 - x2) % P
    return x, (slope * (x1 - x) - y1) % P


def multiply(k: int, a: Point) -> Point:
    total: Point = None
    while k:
        if k & 1:
            total = add(total, a)
        a, k = add(a, a), k >> 1
    return total


def lift(x: int, odd: int = 0) -> Point:
    """The point with this x and parity of y, or None if the curve has none."""
    square = (x**3 - 3 * x + B) % P
    y = pow(square, (P + 1) // 4, P)
    if y * y % P != square:
        return None
    return x, y if y & 1 == odd else P - y


def encode(a: Point) -> bytes:
    """Compressed. ValueError for infinity, which has no such form."""
    if a is None:
        raise ValueError("infinity")
    return bytes([2 | a[1] & 1]) + a[0].to_bytes(32, "big")


def decode(data: bytes) -> Point:
    """The point, by the strict rule; None for anything else."""
    if len(data) != 33 or data[0] not in (2, 3):
        return None
    x = int.from_bytes(data[1:], "big")
    return lift(x, data[0] & 1) if x < P else None


def challenge(message: bytes) -> int:
    return int.from_bytes(hashlib.sha256(message).digest(), "big")


def sign(secret: int, message: bytes, k: int) -> tuple[int, int]:
    """(r, s) with this k, whichever s comes out."""
    point = multiply(k, G)
    if point is None:
        raise ValueError("k is 0")
    r = point[0] % N
    return r, pow(k, -1, N) * (challenge(message) + r * secret) % N


def key_for(point: Point, s: int, message: bytes) -> bytes:
    """The key whose signature over the message is (x of the point, s): anyone can choose a signature first and then a key that fits."""
    if point is None:
        raise ValueError("infinity")
    inverse = pow(point[0] % N, -1, N)
    return encode(add(multiply(s * inverse % N, point), multiply(-challenge(message) * inverse % N, G)))


def equation(key: Point, r: int, s: int, message: bytes) -> bool:
    """Whether x of e/s · G + r/s · key is r, modulo the order; False where s has no inverse."""
    if s % N == 0:
        return False
    w = pow(s, -1, N)
    point = add(multiply(challenge(message) * w % N, G), multiply(r * w % N, key))
    return point is not None and point[0] % N == r % N


def strict(key: bytes, signature: bytes, message: bytes) -> bool:
    """The one rule of docs/formats.md."""
    point = decode(key)
    if point is None or len(signature) != 64:
        return False
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    return 0 < r < N and 0 < s <= HALF and equation(point, r, s, message)
