"""Writes ``p256.json`` by the plain integers of ``weierstrass.py``. Run by hand after a change of the rule: ``python vectors/p256.py``."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import weierstrass as curve
from weierstrass import HALF, G, N, P

SECRET = int.from_bytes(hashlib.sha256(b"device 1").digest(), "big")
MESSAGE = b"512 Wh"

# Project Wycheproof, testvectors/ecdsa_secp256r1_sha256_p1363_test.json (Apache-2.0), all over the message 313233343030: number and
# comment there, compressed key, r, s, verdict there. Where s is high, "valid" there is what this rule refuses.
_FIRST = "022927b10512bae3eddcfe467828128bad2903269919f7086069c8c4df6c732838"
_FIVES = "555555550000000055555555555555553ef7a8e48d07df81a693439654210c70"
_SEVEN_F = "7ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffd"
WYCHEPROOF = (
    (1, "signature malleability", _FIRST, "2ba3a8be6b94d5ec80a6d9d1190a436effe50d85a1eee859b8cc6af9bd5c2e18",
     "4cd60b855d442f5b3c7b11eb6c4e0ae7525fe710fab9aa7c77a67f79e6fadd76", True),
    (3, "modified r", _FIRST, "d45c5740946b2a147f59262ee6f5bc90bd01ed280528b62b3aed5fc93f06f739",
     "b329f479a2bbd0a5c384ee1493b1f5186a87139cac5df4087c134b49156847db", False),
    (5, "modified r", _FIRST, "d45c5741946b2a137f59262ee6f5bc91001af27a5e1117a64733950642a3d1e8",
     "b329f479a2bbd0a5c384ee1493b1f5186a87139cac5df4087c134b49156847db", False),
    (8, "modified s", _FIRST, "2ba3a8be6b94d5ec80a6d9d1190a436effe50d85a1eee859b8cc6af9bd5c2e18",
     "4cd60b865d442f5a3c7b11eb6c4e0ae79578ec6353a20bf783ecb4b6ea97b825", False),
    (113, "k*G has a large x-coordinate", "020ad99500288d466940031d72a9f5445a4d43784640855bf0a69874d2de5fe103",
     "000000000000000000000000000000004319055358e8617b0c46353d039cdaab",
     "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc63254e", True),
    (114, "r too large", "020ad99500288d466940031d72a9f5445a4d43784640855bf0a69874d2de5fe103",
     "ffffffff00000001000000000000000000000000fffffffffffffffffffffffc",
     "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc63254e", False),
    (115, "r,s are large", "03ab05fd9d0de26b9ce6f4819652d9fc69193d0aa398f0fba8013e09c582204554",
     "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc63254f",
     "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc63254e", True),
    (116, "r and s^-1 have a large Hamming weight", "0380984f39a1ff38a86a68aa4201b6be5dfbfecf876219710b07badf6fdd4c6c56", _SEVEN_F,
     "909135bdb6799286170f5ead2de4f6511453fe50914f3df2de54a36383df8dd4", True),
    (133, "r and s^-1 are close to n", "02083539fbee44625e3acaafa2fcb41349392cef0633a1b8fabecee0c133b10e99",
     "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc6324d5", _FIVES, True),
    (134, "s == 1", "038aeb368a7027a4d64abdea37390c0c1d6a26f399e2d9734de1eb3d0e19373874", _FIVES, f"{1:064x}", True),
    (135, "s == 0", "038aeb368a7027a4d64abdea37390c0c1d6a26f399e2d9734de1eb3d0e19373874", _FIVES, f"{0:064x}", False),
    (136, "point at infinity during verify", "03b533d4695dd5b8c5e07757e55e6e516f7e2c88fa0239e23f60e8ec07dd70f287",
     "7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8", _FIVES, False),
    (137, "u1 == 1", "0269da0364734d2e530fece94019265fefb781a0f1b08f6c8897bdf6557927c8b8", _FIVES,
     "bb5a52f42f9c9261ed4361f59422a1e30036e7c32b270c8807a419feca605023", True),
    (138, "u1 == n - 1", "03d8adc00023a8edc02576e2b63e3e30621a471e2b2320620187bf067a1ac1ff32", _FIVES,
     "44a5ad0ad0636d9f12bc9e0a6bdd5e1cbcb012ea7bf091fcec15b0c43202d52e", True),
    (139, "u2 == 1", "023623ac973ced0a56fa6d882f03a7d5c7edca02cfc7b2401fab3690dbe75ab785", _FIVES, _FIVES, True),
    (140, "u2 == n - 1", "03cf04ea77e9622523d894b93ff52dc3027b31959503b6fa3890e5e04263f922f1", _FIVES,
     "aaaaaaaa00000000aaaaaaaaaaaaaaaa7def51c91a0fbf034d26872ca84218e1", True),
    (143, "edge case for u1", "03d0bc472e0d7c81ebaed3a6ef96c18613bb1fea6f994326fbe80e00dfde67c7e9", _SEVEN_F,
     "03ffcabf2f1b4d2a65190db1680d62bb994e41c5251cd73b3c3dfc5e5bafc035", True),
    (144, "edge case for u1", "03a0a44ca947d66a2acb736008b9c08d1ab2ad03776e02640f78495d458dd51c32", _SEVEN_F,
     "4dfbc401f971cd304b33dfdb17d0fed0fe4c1a88ae648e0d2847f74977534989", True),
)  # fmt: skip

# RFC 6979, A.2.5, with SHA-256: message, r, s.
_RFC_KEY = "0360fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
RFC_6979 = (
    ("sample", "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716",
     "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"),
    ("test", "f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367",
     "019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083"),
)  # fmt: skip


def raw(r: int, s: int) -> bytes:
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def der(r: int, s: int) -> bytes:
    numbers = b"".join(b"\x02" + bytes([len(each)]) + each for each in (i.to_bytes(i.bit_length() // 8 + 1, "big") for i in (r, s)))
    return b"\x30" + bytes([len(numbers)]) + numbers


def first(low: int, high: int, on_curve: bool = True) -> int:
    """The first x in [low, high) that some point of the curve has, or that none has."""
    return next(x for x in range(low, high) if (curve.lift(x) is not None) == on_curve)


def own_cases() -> list[dict[str, Any]]:
    """Each case is what a forger can really make: whoever chooses the key after the signature gets any r and s to hold."""
    cases: list[dict[str, Any]] = []
    key = curve.encode(curve.multiply(SECRET, G))
    e = curve.challenge(MESSAGE)

    def case(note: str, key: bytes, message: bytes, signature: bytes, valid: bool = False) -> None:
        if curve.strict(key, signature, message) != valid:
            raise AssertionError(f"{note}: the plain rule says {not valid}")
        cases.append({"note": note, "key": key, "message": message, "signature": signature, "valid": valid})

    def low(secret: int, message: bytes, k: int = 7) -> tuple[int, int]:
        r, s = curve.sign(secret, message, k)
        return r, min(s, N - s)

    r, s = low(SECRET, MESSAGE)
    good = raw(r, s)
    case("valid", key, MESSAGE, good, True)
    case("valid, empty message", key, b"", raw(*low(SECRET, b"")), True)
    case("valid, long message", key, bytes(300), raw(*low(SECRET, bytes(300), N - 5)), True)
    case("another message", key, b"513 Wh", good)
    case("another key", curve.encode(curve.multiply(SECRET + 1, G)), MESSAGE, good)
    case("the opposite key: the other y", bytes([key[0] ^ 1]) + key[1:], MESSAGE, good)
    case("one bit of r", key, MESSAGE, bytes([good[0] ^ 1]) + good[1:])
    case("one bit of s", key, MESSAGE, good[:63] + bytes([good[63] ^ 1]))
    case("signed without hashing", key, hashlib.sha256(MESSAGE).digest(), good)
    case("hashed twice", key, MESSAGE, raw(*low(SECRET, hashlib.sha256(MESSAGE).digest())))

    case("n - s: the same equation, malleable", key, MESSAGE, raw(r, N - s))
    case("n - r", key, MESSAGE, raw(N - r, s))
    case("n - r, n - s", key, MESSAGE, raw(N - r, N - s))
    case("s and r in each other's place", key, MESSAGE, raw(s, r))
    case("little-endian", key, MESSAGE, good[31::-1] + good[:31:-1])
    case("top bit of s set, as in EIP-2098", key, MESSAGE, raw(r, s | 1 << 255))
    case("DER", key, MESSAGE, der(r, s))
    case("DER in 64 bytes, r and s short", key, MESSAGE, der(r >> 32, s >> 32)[:64].ljust(64, b"\0"))
    case("signature of 63 bytes", key, MESSAGE, good[:63])
    case("signature of 65 bytes", key, MESSAGE, good + b"\0")
    case("signature of 65 bytes with a recovery byte in front", key, MESSAGE, b"\x1b" + good)
    case("no signature", key, MESSAGE, b"")
    edges = {"0": 0, "1": 1, "(n-1)/2": HALF, "(n+1)/2": HALF + 1, "n-1": N - 1, "n": N, "n+1": N + 1, "p": P, "2^256-1": 2**256 - 1}
    for r_name in ("0", "1", "n-1", "n", "n+1", "p", "2^256-1"):
        r_edge = edges[r_name]
        for s_name, s_edge in edges.items():
            case(f"r = {r_name}, s = {s_name}", key, MESSAGE, raw(r_edge, s_edge))

    point = curve.multiply(11, G)
    assert point is not None
    for name, number in (("1", 1), ("2", 2), ("(n-1)/2, the largest that is low", HALF)):
        case(f"s = {name}: holds", curve.key_for(point, number, MESSAGE), MESSAGE, raw(point[0] % N, number), True)
    for name, number in (("(n+1)/2, the smallest that is high", HALF + 1), ("n-1", N - 1)):
        case(f"s = {name}: the equation holds", curve.key_for(point, number, MESSAGE), MESSAGE, raw(point[0] % N, number))
    for number in (1, 2, 2**256 - 1 - N):
        case(f"s = n + {number}: the equation holds", curve.key_for(point, number, MESSAGE), MESSAGE, raw(point[0] % N, N + number))
    small, large = first(1, N), N - 1 - next(d for d in range(1000) if curve.lift(N - 1 - d) is not None)
    for name, x in (("the smallest", small), ("the largest below n", large)):
        for odd in (0, 1):
            where = curve.lift(x, odd)
            note = f"r is {name} that a point has, y {'odd' if odd else 'even'}: holds"
            case(note, curve.key_for(where, 3, MESSAGE), MESSAGE, raw(x, 3), True)
    case("r = n + the smallest: the equation holds", curve.key_for(curve.lift(small), 3, MESSAGE), MESSAGE, raw(N + small, 3))
    beyond = first(N + 1, P)
    where = curve.lift(beyond)
    case("x of the point is n or more, r = x - n: holds", curve.key_for(where, 3, MESSAGE), MESSAGE, raw(beyond - N, 3), True)
    case("x of the point is n or more, r = x", curve.key_for(where, 3, MESSAGE), MESSAGE, raw(beyond, 3))

    infinity = -e * pow(SECRET, -1, N) % N
    case("the sum is the point at infinity", key, MESSAGE, raw(infinity, 5))
    case("the sum is the point at infinity, r = s", key, MESSAGE, raw(infinity, min(infinity, N - infinity)))
    for t in (3, N - 3, 12_345):
        doubled = curve.multiply(2 * t % N, G)
        assert doubled is not None
        r_t = doubled[0] % N
        holder = curve.encode(curve.multiply(e * pow(r_t, -1, N) % N, G))
        s_t = e * pow(t, -1, N) % N
        case(f"both summands are {t if t < 10**6 else t - N}·G, a doubling: " + ("holds" if s_t <= HALF else "s is high"), holder, MESSAGE,
             raw(r_t, s_t), s_t <= HALF)  # fmt: skip
    for name, secret in (("G", 1), ("-G", N - 1), ("2G", 2), ("G/2", (N + 1) // 2)):
        case(f"key is {name}: holds", curve.encode(curve.multiply(secret, G)), MESSAGE, raw(*low(secret, MESSAGE, 9)), True)
    for k in (1, 2, N - 1, (N + 1) // 2):
        case(f"k = {k if k < 3 else 'n-1' if k == N - 1 else '(n+1)/2'}: holds", key, MESSAGE, raw(*low(SECRET, MESSAGE, k)), True)

    own = curve.decode(key)
    assert own is not None
    x, y = own
    twist = first(1, P, on_curve=False)
    for note, bad in (
        ("x is on no point", b"\x02" + twist.to_bytes(32, "big")),
        ("x is on no point, y odd", b"\x03" + twist.to_bytes(32, "big")),
        ("x = p - 1 is on no point", b"\x02" + (P - 1).to_bytes(32, "big")),
        ("x = p, which is 0 and on the curve", b"\x02" + P.to_bytes(32, "big")),
        ("x = p + the smallest on the curve", b"\x02" + (P + small).to_bytes(32, "big")),
        ("x = 2^256 - 1", b"\x03" + b"\xff" * 32),
        ("infinity, one byte", b"\0"),
        ("infinity, 33 bytes", bytes(33)),
        ("prefix 00", b"\0" + key[1:]),
        ("prefix 01", b"\1" + key[1:]),
        ("prefix 04 in 33 bytes", b"\4" + key[1:]),
        ("prefix 05", b"\5" + key[1:]),
        ("prefix 06", b"\6" + key[1:]),
        ("prefix 82", b"\x82" + key[1:]),
        ("uncompressed, 65 bytes", b"\4" + x.to_bytes(32, "big") + y.to_bytes(32, "big")),
        ("hybrid, 65 bytes", bytes([6 | y & 1]) + x.to_bytes(32, "big") + y.to_bytes(32, "big")),
        ("x and y, 64 bytes", x.to_bytes(32, "big") + y.to_bytes(32, "big")),
        ("x alone", key[1:]),
        ("34 bytes", key + b"\0"),
        ("32 bytes", key[:32]),
        ("generator of secp256k1", bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")),
    ):
        case(f"key: {note}", bad, MESSAGE, good)
    case("no key", b"", MESSAGE, good)
    return cases


def published_cases() -> list[dict[str, Any]]:
    """As they stand in their source, and each high s also as its low twin."""
    said = [(f"Wycheproof {number}, {note}", key, b"123400", r, s, there) for number, note, key, r, s, there in WYCHEPROOF]
    said += [(f"RFC 6979 A.2.5, {text}", _RFC_KEY, text.encode(), r, s, True) for text, r, s in RFC_6979]
    cases = []
    for note, key, message, r, s, there in said:
        number = int(s, 16)
        cases.append((note, key, message, raw(int(r, 16), number), there, there and number <= HALF))
        if HALF < number < N:
            cases.append((f"{note}, low s", key, message, raw(int(r, 16), N - number), there, there))
    made = []
    for note, key, message, signature, there, valid in cases:
        if curve.strict(bytes.fromhex(key), signature, message) != valid:
            raise AssertionError(f"{note}: the plain rule says {not valid}")
        made.append(
            {"note": note, "key": bytes.fromhex(key), "message": message, "signature": signature, "valid": valid, "valid_there": there}
        )
    return made


def hexed(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: "0x" + value.hex() if isinstance(value, bytes) else value for name, value in case.items()} for case in cases]


def write() -> None:
    cases = {"cases": hexed(own_cases()), "published": hexed(published_cases())}
    (Path(__file__).parent / "p256.json").write_text(json.dumps(cases, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    write()
