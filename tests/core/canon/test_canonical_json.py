from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from subak.core.canon.json import EXACT, encode, hash_json

text = st.text(st.characters(codec="utf-8"))
exact = st.integers(-EXACT, EXACT)
values = st.recursive(
    st.none() | st.booleans() | exact | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)


@dataclass
class Point:
    y: int
    x: bytes


class Box(msgspec.Struct):
    b: int
    a: tuple[int, ...]


@given(values)
def test_reads_back_and_is_the_same_however_it_was_written(value: Any) -> None:
    written = encode(value)
    assert json.loads(written) == value
    assert encode(json.loads(written)) == written
    assert hash_json(value) == hashlib.sha256(written).digest()


@given(st.dictionaries(text, exact, max_size=6))
def test_the_order_of_keys_does_not_matter(value: dict[str, int]) -> None:
    assert encode(dict(reversed(value.items()))) == encode(value)


def test_the_rfc_8785_example_of_sorting() -> None:
    names = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    found = list(json.loads(encode(dict.fromkeys(names, 0))))
    assert found == ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]


def test_the_rfc_8785_example_of_strings() -> None:
    assert (
        encode("\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/\x7f\b\t\f\r") == '"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/\x7f\\b\\t\\f\\r"'.encode()
    )


def test_our_additions() -> None:
    assert encode({"b": b"\x01\xff", "a": (1, None, True)}) == b'{"a":[1,null,true],"b":"0x01ff"}'
    assert encode([EXACT, EXACT + 1, -EXACT, -EXACT - 1]) == b'[9007199254740992,"9007199254740993",-9007199254740992,"-9007199254740993"]'
    assert encode(Point(1, b"")) == b'{"x":"0x","y":1}'
    assert encode(Box(1, (2,))) == b'{"a":[2],"b":1}'


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (1.0, r"^\$: float"),
        ({"pools": [{"share": 0.5}]}, r"^\$\.pools\[0\]\.share: float"),
        ({1: 2}, r"^\$: a key must be a string, not int"),
        ({"a": {1, 2}}, r"^\$\.a: set"),
        ([object()], r"^\$\[0\]: object"),
    ],
)
def test_what_has_no_canonical_form_is_named(value: Any, path: str) -> None:
    with pytest.raises(TypeError, match=path):
        encode(value)


def test_half_a_character_is_refused() -> None:
    with pytest.raises(UnicodeEncodeError):
        encode("\ud800")
