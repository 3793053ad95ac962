from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subak.core.canon import ed25519, p256
from subak.core.canon.entry import cut, pack
from subak.core.canon.ids import ED25519, P256, signer_id
from subak.core.canon.p256 import ORDER, check_key, point, public_key, sign, verify
from subak.core.canon.segment import frame, valid
from subak.core.canon.signatures import KeyRefused, checked
from subak.core.canon.signatures import check_key as check_key_of
from subak.core.canon.signatures import verify as verify_of
from subak.core.kind import Field, Schema

PLAIN = runpy.run_path(str(Path(__file__).parents[3] / "vectors" / "weierstrass.py"))
"""The curve in plain integers, which knows nothing of the code under test."""
SECRETS = st.integers(1, ORDER - 1).map(lambda secret: secret.to_bytes(32, "big"))


def cases(vectors: Callable[[str], Any]) -> list[dict[str, Any]]:
    read = vectors("p256.json")
    return [*read["cases"], *read["published"]]


def test_edge_cases(vectors: Callable[[str], Any]) -> None:
    every = cases(vectors)
    assert len(every) > 150
    assert sum(case["valid"] for case in every) > 30
    wrong = [case["note"] for case in every if verify(case["key"], case["signature"], case["message"]) != case["valid"]]
    assert not wrong


def test_the_verdicts_are_those_of_plain_integers(vectors: Callable[[str], Any]) -> None:
    strict = PLAIN["strict"]
    wrong = [case["note"] for case in cases(vectors) if strict(case["key"], case["signature"], case["message"]) != case["valid"]]
    assert not wrong


def test_published_cases_differ_from_their_source_only_where_s_is_high(vectors: Callable[[str], Any]) -> None:
    published = vectors("p256.json")["published"]
    for case in published:
        low = int.from_bytes(case["signature"][32:], "big") <= ORDER // 2
        assert case["valid"] == (case["valid_there"] and low), case["note"]
    assert any(case["valid_there"] and not case["valid"] for case in published)


def test_keys_are_refused_with_a_reason(vectors: Callable[[str], Any]) -> None:
    refused = 0
    for case in cases(vectors):
        if case["note"].startswith(("key: ", "no key")):
            refused += 1
            with pytest.raises(KeyRefused, match=r"33 bytes|02 or 03|not below p|not a point"):
                check_key(case["key"])
            with pytest.raises(KeyRefused):
                point(case["key"])
        else:
            check_key(case["key"])
            assert point(case["key"]) == PLAIN["decode"](case["key"])
    assert refused > 20


def test_rfc_6979_with_low_s(vectors: Callable[[str], Any]) -> None:
    """A.2.5 gives the same r; of its two s one is high."""
    secret = bytes.fromhex("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721")
    golden = [case for case in vectors("p256.json")["published"] if case["note"].startswith("RFC 6979") and case["valid"]]
    assert [case["message"] for case in golden] == [b"sample", b"test"]
    for case in golden:
        assert public_key(secret) == case["key"]
        assert sign(secret, case["message"]) == case["signature"]


@settings(max_examples=60, deadline=None)
@given(SECRETS, st.binary(max_size=300), st.data())
def test_what_is_signed_verifies_and_nothing_else(secret: bytes, message: bytes, data: st.DataObject) -> None:
    key, signature = public_key(secret), sign(secret, message)
    check_key(key)
    assert verify(key, signature, message)
    assert int.from_bytes(signature[32:], "big") <= ORDER // 2
    bit = data.draw(st.integers(0, 511))
    flipped = bytearray(signature)
    flipped[bit // 8] ^= 1 << bit % 8
    assert not verify(key, bytes(flipped), message)
    assert not verify(key, signature, message + b"\0")
    twin = signature[:32] + (ORDER - int.from_bytes(signature[32:], "big")).to_bytes(32, "big")
    assert not verify(key, twin, message)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from([3, 5, 1 << 255, ORDER - 2]), st.integers(1, 2**256 - 1), st.binary(max_size=8), st.sampled_from([0, 1]))
def test_any_signature_gets_the_verdict_of_plain_integers(multiple: int, s: int, message: bytes, high: int) -> None:
    """A key is made to fit the signature, so that the equation holds for about every s."""
    where = PLAIN["multiply"](multiple % ORDER, PLAIN["G"])
    key = PLAIN["key_for"](where, s % ORDER or 1, message)
    number = (s % ORDER + high * ORDER) % 2**256
    signature = (where[0] % ORDER).to_bytes(32, "big") + number.to_bytes(32, "big")
    assert verify(key, signature, message) == PLAIN["strict"](key, signature, message)


@given(st.binary(max_size=70), st.binary(max_size=70), st.binary(max_size=70))
def test_never_raises(key: bytes, signature: bytes, message: bytes) -> None:
    assert not verify(key, signature, message)


@given(st.sampled_from([2, 3]), st.binary(min_size=32, max_size=32))
def test_a_key_is_taken_exactly_if_plain_integers_find_its_point(prefix: int, x: bytes) -> None:
    key = bytes([prefix]) + x
    if PLAIN["decode"](key) is None:
        with pytest.raises(KeyRefused):
            check_key(key)
    else:
        check_key(key)


@pytest.mark.parametrize(
    "secret", [b"", bytes(32), ORDER.to_bytes(32, "big"), b"\xff" * 32, bytes(31), bytes(31) + b"\1\0"], ids=lambda secret: secret.hex()[:8]
)
def test_what_is_no_private_key_is_refused_and_not_told(secret: bytes) -> None:
    with pytest.raises(ValueError, match=f"got {len(secret)} bytes that are not") as refused:
        public_key(secret)
    assert len(str(refused.value)) < 100


def test_more_keys_than_are_kept_are_all_read_right() -> None:
    """Keys that were forgotten are read anew."""
    kept = p256._public.cache_info().maxsize
    assert kept is not None
    assert kept <= 1 << 14
    keys = [public_key(secret.to_bytes(32, "big")) for secret in range(1, 40)]
    signatures = [sign(secret.to_bytes(32, "big"), b"x") for secret in range(1, 40)]
    assert all(verify(key, signature, b"x") for key, signature in zip(keys, signatures, strict=True))
    p256._public.cache_clear()
    assert all(verify(key, signature, b"x") for key, signature in zip(keys, signatures, strict=True))


SEED = bytes(31) + b"\x09"
BOTH = {ED25519: (ed25519.public_key(SEED), ed25519.sign(SEED, b"512 Wh")), P256: (public_key(SEED), sign(SEED, b"512 Wh"))}


@pytest.mark.parametrize("curve", [ED25519, P256])
def test_each_curve_takes_its_own_keys_and_signatures_only(curve: int) -> None:
    key, signature = BOTH[curve]
    other_key, other_signature = BOTH[ED25519 + P256 - curve]
    check_key_of(curve, key)
    assert verify_of(curve, key, signature, b"512 Wh")
    sound = checked(curve, key)
    assert sound.raw == key
    assert sound.holds(key, signature, b"512 Wh")
    assert not sound.holds(key, other_signature, b"512 Wh")
    assert not sound.holds(key, signature, b"513 Wh")
    assert not verify_of(curve, other_key, other_signature, b"512 Wh")
    assert not verify_of(curve, key, other_signature, b"512 Wh")
    with pytest.raises(KeyRefused, match=r"has 3[23] bytes"):
        checked(curve, other_key)


@pytest.mark.parametrize("curve", [0, 3, 255])
def test_an_unknown_curve_has_no_keys(curve: int) -> None:
    for key, signature in BOTH.values():
        assert not verify_of(curve, key, signature, b"512 Wh")
        with pytest.raises(KeyRefused, match=f"unknown curve {curve}"):
            check_key_of(curve, key)


def test_rows_of_both_curves_are_valid_each_by_its_own_rule() -> None:
    schema, network = Schema("energy.reading", 1, (Field("export_wh"),)), b"\x4e" * 32
    subjects = {ED25519: b"\xa1" * 32, P256: b"\xa2" * 32}

    def entry(curve: int, sequence: int, subject: bytes, twin: bool = False) -> bytes:
        signed = pack(
            network=network,
            schema=schema,
            subject=subject,
            signer=signer_id(curve, BOTH[curve][0]),
            sequence=sequence,
            start_unix_s=1_496_275_200,
            interval_seconds=3600,
            rows=[(sequence,)],
        )
        signature = sign(SEED, signed) if curve == P256 else ed25519.sign(SEED, signed)
        if twin:
            signature = signature[:32] + (ORDER - int.from_bytes(signature[32:], "big")).to_bytes(32, "big")
        return signed + signature

    sent = [
        entry(ED25519, 1, subjects[ED25519]),
        entry(P256, 2, subjects[P256]),
        entry(P256, 2, subjects[P256]),
        entry(P256, 3, subjects[P256], twin=True),
        entry(P256, 4, subjects[ED25519]),
        entry(ED25519, 5, subjects[P256]),
        entry(P256, 6, b"\xa3" * 32),
        entry(P256, 7, b"\xa4" * 32),
    ]
    keys = pl.DataFrame(
        {
            "asset": pl.Series([*subjects.values(), b"\xa3" * 32], dtype=pl.Binary),
            "curve": pl.Series([ED25519, P256, 3], dtype=pl.UInt8),
            "key": pl.Series([BOTH[ED25519][0], BOTH[P256][0], BOTH[P256][0]], dtype=pl.Binary),
        }
    )
    table = frame(list(cut(b"".join(sent))), schema)
    assert valid(table, schema, network, keys).tolist() == [True, True, True, False, False, False, False, False]
