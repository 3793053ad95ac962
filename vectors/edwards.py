"""Ed25519 in plain integers (RFC 8032 §5.1), slow and plain: it makes the signatures that no library would make, and judges them."""

from __future__ import annotations

import hashlib

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P

Point = tuple[int, int]
IDENTITY: Point = (0, 1)


def add(a: Point, b: Point) -> Point:
    (x1, y1), (x2, y2) = a, b
    k = D * x1 * x2 * y1 * y2 % P
    return (x1 * y2 + x2 * y1) * pow(1 + k, -1, P) % P, (y1 * y2 + x1 * x2) * pow(1 - k, -1, P) % P


def multiply(k: int, a: Point) -> Point:
    total = IDENTITY
    while k:
        if k & 1:
            total = add(total, a)
        a, k = add(a, a), k >> 1
    return total


def negate(a: Point) -> Point:
    return -a[0] % P, a[1]


def encode(a: Point) -> bytes:
    return (a[1] | (a[0] & 1) << 255).to_bytes(32, "little")


def decode(data: bytes) -> Point | None:
    """The point, by the strict rule: y < p and no negative zero; None for anything else."""
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    if x * x % P != square or (x == 0 and sign):
        return None
    return (x if x & 1 == sign else P - x), y


BASE_Y = 4 * pow(5, -1, P) % P
BASE = decode(BASE_Y.to_bytes(32, "little")) or IDENTITY


def torsion() -> Point:
    """A point of order 8."""
    y = 2
    while True:
        found = decode(y.to_bytes(32, "little"))
        small = multiply(L, found) if found else IDENTITY
        if multiply(4, small) != IDENTITY:
            return small
        y += 1


def scalar(seed: bytes) -> int:
    """The private scalar of a seed."""
    half = bytearray(hashlib.sha512(seed).digest()[:32])
    half[0] &= 248
    half[31] = half[31] & 127 | 64
    return int.from_bytes(half, "little")


def challenge(r: bytes, key: bytes, message: bytes) -> int:
    return int.from_bytes(hashlib.sha512(r + key + message).digest(), "little") % L


def equation(key: bytes, signature: bytes, message: bytes, cofactor: int = 1) -> bool:
    """Whether cofactor · (S·B − h·A − R) is the identity."""
    r, s, a = decode(signature[:32]), int.from_bytes(signature[32:], "little"), decode(key)
    if r is None or a is None:
        return False
    h = challenge(signature[:32], key, message)
    difference = add(multiply(s % L, BASE), negate(add(multiply(h, a), r)))
    return multiply(cofactor, difference) == IDENTITY


def strict(key: bytes, signature: bytes, message: bytes) -> bool:
    """The one rule of docs/formats.md."""
    a = decode(key) if len(key) == 32 else None
    if a is None or a == IDENTITY or multiply(L, a) != IDENTITY or len(signature) != 64:
        return False
    if int.from_bytes(signature[32:], "little") >= L or decode(signature[:32]) in (None, IDENTITY):
        return False
    return equation(key, signature, message)
