from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subak.core.canon import ed25519
from subak.core.canon.ed25519 import KeyRefused, check_key, sign, verify, verify_checked


def test_edge_cases(vectors: Callable[[str], Any]) -> None:
    """The verdicts were made by the plain integers of vectors/edwards.py."""
    cases = vectors("ed25519.json")["cases"]
    assert len(cases) > 50
    found = [verify(case["key"], case["signature"], case["message"]) for case in cases]
    wrong = [case["note"] for case, verdict in zip(cases, found, strict=True) if verdict != case["valid"]]
    assert not wrong


def test_keys_are_refused_with_a_reason(vectors: Callable[[str], Any]) -> None:
    for case in vectors("ed25519.json")["cases"]:
        if case["note"].startswith(("key ", "no key")):
            with pytest.raises(KeyRefused, match=r"canonical|prime-order|32 bytes"):
                check_key(case["key"])
        else:
            check_key(case["key"])


def test_a_key_that_was_checked_needs_no_second_check(vectors: Callable[[str], Any]) -> None:
    for case in vectors("ed25519.json")["cases"]:
        if not case["note"].startswith("key mixed"):
            assert verify_checked(case["key"], case["signature"], case["message"]) == case["valid"], case["note"]


def test_rfc_8032_test_2() -> None:
    seed = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    key = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    signature = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert ed25519.public_key(seed) == key
    assert sign(seed, b"\x72") == signature
    assert verify(key, signature, b"\x72")


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=300), st.data())
def test_what_is_signed_verifies_and_nothing_else(seed: bytes, message: bytes, data: st.DataObject) -> None:
    key, signature = ed25519.public_key(seed), sign(seed, message)
    check_key(key)
    assert verify(key, signature, message)
    bit = data.draw(st.integers(0, 511))
    flipped = bytearray(signature)
    flipped[bit // 8] ^= 1 << bit % 8
    assert not verify(key, bytes(flipped), message)
    assert not verify(key, signature, message + b"\0")


@given(st.binary(max_size=70), st.binary(max_size=70), st.binary(max_size=70))
def test_never_raises(key: bytes, signature: bytes, message: bytes) -> None:
    assert not verify(key, signature, message)
