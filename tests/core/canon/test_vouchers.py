"""Vouchers are what wallets and the contract hash, one by one and by the million; what is unsound is named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from eth_account.messages import encode_typed_data
from hypothesis import given, settings
from hypothesis import strategies as st

from subak.core.canon import vouchers
from subak.core.canon.keccak import keccak256
from subak.core.canon.vouchers import (
    MAX_LINES,
    Line,
    Voucher,
    countersigned_digest,
    fault,
    follows,
    lines_fault,
    lines_hash,
    lines_hashes,
    struct_digest,
    struct_hash,
    voucher_digest,
    voucher_struct_hash,
)

TYPES = {
    "EIP712Domain": "string name,string version,uint256 chainId,address verifyingContract",
    "Line": "bytes32 asset,uint128 money",
    "Voucher": "bytes32 lane,uint64 seq,uint128 total,Line[] lines",
    "Countersigned": "bytes32[] vouchers",
}
word = st.binary(min_size=32, max_size=32)
money = st.one_of(st.integers(0, 2**40), st.sampled_from([2**63, 2**64 - 1, 2**64, 2**128 - 1]), st.integers(0, 2**128 - 1))
lines = st.lists(st.builds(Line, word, money), max_size=12).map(tuple)
made = st.builds(Voucher, word, st.integers(0, 2**64 - 1), st.integers(0, 2**128 - 1), lines)
chains = st.integers(0, 2**256 - 1)
contracts = st.binary(min_size=20, max_size=20)


def theirs(primary: str, chain_id: int, channels: bytes, message: dict[str, Any]) -> bytes:
    """The digest as eth-account makes it."""
    types = {
        name: [dict(zip(("type", "name"), field.split(), strict=True)) for field in text.split(",")]
        for name, text in TYPES.items()
        if name in ("EIP712Domain", primary) or (name, primary) == ("Line", "Voucher")
    }
    domain = {"name": "Subak Channels", "version": "1", "chainId": chain_id, "verifyingContract": "0x" + channels.hex()}
    signable = encode_typed_data(full_message={"types": types, "primaryType": primary, "domain": domain, "message": message})
    return keccak256(b"\x19" + signable.version + signable.header + signable.body)


@settings(max_examples=60, deadline=None)
@given(made, chains, contracts)
def test_a_voucher_is_what_wallets_sign(voucher: Voucher, chain_id: int, channels: bytes) -> None:
    message = {"lane": voucher.lane, "seq": voucher.seq, "total": voucher.total, "lines": [line._asdict() for line in voucher.lines]}
    digest = voucher_digest(voucher, chain_id, channels)
    assert digest == theirs("Voucher", chain_id, channels, message)
    hashed = voucher_struct_hash(voucher)
    assert hashed == struct_hash(voucher.lane, voucher.seq, voucher.total, lines_hash(voucher.lines))
    assert digest == struct_digest(hashed, chain_id, channels)


@settings(max_examples=30, deadline=None)
@given(st.lists(word, max_size=5), chains, contracts)
def test_a_countersignature_is_what_wallets_sign(hashes: list[bytes], chain_id: int, channels: bytes) -> None:
    assert countersigned_digest(hashes, chain_id, channels) == theirs("Countersigned", chain_id, channels, {"vouchers": hashes})


def columns(every: Sequence[Sequence[Line]]) -> tuple[Any, Any, Any]:
    flat = [line for each in every for line in each]
    assets = np.frombuffer(b"".join(line.asset for line in flat), np.uint8).reshape(-1, 32)
    words = np.array([(line.money >> 64, line.money & (1 << 64) - 1) for line in flat], np.uint64).reshape(-1, 2)
    return assets, words, np.array([len(each) for each in every], np.int64)


@settings(max_examples=40, deadline=None)
@given(st.lists(lines, max_size=12))
def test_many_are_hashed_as_each_alone(every: list[tuple[Line, ...]]) -> None:
    hashes = lines_hashes(*columns(every))
    assert [row.tobytes() for row in hashes] == [lines_hash(each) for each in every]


def test_tables_of_several_blocks_are_hashed_as_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    dice = np.random.default_rng(4)
    counts = np.concatenate([dice.integers(1, 40, 400), [MAX_LINES, 1, MAX_LINES]]).astype(np.int64)
    assets = dice.integers(0, 256, (counts.sum(), 32), np.uint8)
    words = dice.integers(0, 2**63, (counts.sum(), 2), np.uint64)
    flat = [Line(asset.tobytes(), int(high) << 64 | int(low)) for asset, (high, low) in zip(assets, words.tolist(), strict=True)]
    ends = np.cumsum(counts)
    expected = [lines_hash(flat[end - count : end]) for end, count in zip(ends.tolist(), counts.tolist(), strict=True)]
    assert [row.tobytes() for row in lines_hashes(assets, words, counts)] == expected
    monkeypatch.setattr(vouchers, "_CHUNK", 1000)
    assert [row.tobytes() for row in lines_hashes(assets, words, counts)] == expected


def test_without_the_extension(monkeypatch: pytest.MonkeyPatch) -> None:
    some = tuple(Line(bytes([number]) * 32, number + 1) for number in range(11))
    expected = lines_hash(some)
    monkeypatch.setattr(vouchers, "_keccak", None)
    assert lines_hash(some) == expected


def test_columns_that_do_not_agree_are_refused() -> None:
    assets, words, counts = columns([[Line(bytes(32), 1)] * 3])
    for changed in (
        (assets[:2], words, counts),
        (assets, words[:, :1], counts),
        (assets, words, counts + 1),
        (assets[:, :31], words, counts),
    ):
        with pytest.raises(ValueError, match="do not agree"):
            lines_hashes(*changed)


def test_values_that_do_not_fit_are_named() -> None:
    voucher = Voucher(bytes(32), 1, 5, (Line(bytes(32), 5),))
    for change, field in (({"lane": bytes(31)}, "lane"), ({"seq": 2**64}, "seq"), ({"seq": -1}, "seq"), ({"total": 2**128}, "total")):
        with pytest.raises(ValueError, match=field):
            replace(voucher, **change)
    for asset, amount, field in ((bytes(33), 1, "asset"), (bytes(32), 2**128, "money"), (bytes(32), -1, "money")):
        with pytest.raises(ValueError, match=field):
            Line(asset, amount)
    with pytest.raises(ValueError, match="32 bytes each"):
        countersigned_digest([bytes(31)], 1, bytes(20))


FAULTS = """
# lines (asset=money)      total           seq                   reason
a=5 b=7                    12              1                     -
a=5                        5               0                     -
-                          0               1                     malformed            no lines
b=7 a=5                    12              1                     malformed            after 0x62
a=5 a=7                    12              1                     malformed            twice
a=5 b=0                    5               1                     malformed            no money
a=5 b=7                    11              1                     lines_do_not_sum     sum to 12, total is 11
a=5 b=7                    13              1                     lines_do_not_sum     sum to 12, total is 13
a=5                        5               9223372036854775808   malformed            not below 2^63
a=99999999999999999999999999999999999999   99999999999999999999999999999999999999   1   -
a=100000000000000000000000000000000000000  100000000000000000000000000000000000000  1   malformed   not below 10^38
"""
FOLLOWING = """
# before (seq: lines)   after             reason
1: a=5 b=7              2: a=5 b=8        -
1: a=5 b=7              9: a=6 b=7 c=1    -
1: a=5 b=7              1: a=5 b=8        seq_taken        take 2 or more
1: a=5 b=7              1: a=5 b=7        seq_taken        take 2 or more
3: a=5 b=7              2: a=5 b=8        older_voucher    the newest is 3
1: a=5 b=7              2: a=5 b=7        does_not_grow    total is 12
1: a=5 b=7              2: a=5 b=6        does_not_grow    total is 11
1: a=5 b=7              2: a=4 b=9        line_fell        holds 4
1: a=5 b=7              2: a=13           line_fell        is missing, in seq 1 it held 7
"""


def asset(letter: str) -> bytes:
    return letter.encode() * 32


def lines_of(text: str) -> tuple[Line, ...]:
    pairs = [each.split("=") for each in text.split() if each != "-"]
    return tuple(Line(asset(letter), int(amount)) for letter, amount in pairs)


def rows(table: str) -> list[str]:
    return [line for line in table.strip().splitlines() if not line.startswith("#")]


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.split("  ") if cell.strip()]


@pytest.mark.parametrize("row", rows(FAULTS))
def test_what_is_unsound_about_a_voucher(row: str) -> None:
    owed, total, seq, reason, *sentence = cells(row)
    found = fault(Voucher(bytes(32), int(seq), int(total), lines_of(owed)))
    if reason == "-":
        assert found is None
    else:
        assert found is not None
        assert (found.reason, sentence[0] in found) == (reason, True), found


def test_a_voucher_has_at_most_512_lines() -> None:
    many = tuple(Line(number.to_bytes(32, "big"), 1) for number in range(MAX_LINES + 1))
    assert fault(Voucher(bytes(32), 1, MAX_LINES, many[:-1])) is None
    found = lines_fault(many)
    assert found is not None
    assert (found.reason, f"{MAX_LINES + 1} lines" in found) == ("too_many_lines", True)


@pytest.mark.parametrize("row", rows(FOLLOWING))
def test_vouchers_only_grow(row: str) -> None:
    before, after, reason, *sentence = cells(row)
    old, new = (
        Voucher(bytes(32), int(seq), sum(line.money for line in lines_of(owed)), lines_of(owed))
        for seq, owed in (each.split(":") for each in (before, after))
    )
    found = follows(old, new)
    if reason == "-":
        assert found is None
    else:
        assert found is not None
        assert (found.reason, sentence[0] in found) == (reason, True), found


def test_a_voucher_of_another_lane_does_not_follow() -> None:
    old = Voucher(bytes(32), 1, 5, (Line(asset("a"), 5),))
    found = follows(old, replace(old, lane=bytes(31) + b"\1", seq=2))
    assert found is not None
    assert found.reason == "other_lane"
