"""A pass opens one asset's host to one lane until a time, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subak.chain.accounts import ORDER, Account, recover
from subak.core.canon.keccak import keccak256
from subak.core.canon.passes import MAX_PASS_SECONDS, Pass, make_pass, pass_digest, pass_fault, read_pass

SESSION = Account(b"\x31" * 32)
ASSET, LANE, NOW = b"\xa1" * 32, b"\xb2" * 32, 1_496_275_200
SHOWN = make_pass(ASSET, LANE, NOW + 7200, SESSION.sign_digest)


def reason(shown: Pass, asset: bytes = ASSET, now: int = NOW) -> str | None:
    found = pass_fault(shown, asset, SESSION.address, now, recover)
    return found.reason if found is not None else None


def test_a_pass_holds_at_its_host_until_its_time() -> None:
    assert SHOWN.signature == SESSION.sign_digest(keccak256(b"subak/pass/1" + ASSET + LANE + (NOW + 7200).to_bytes(8, "big")))
    assert reason(SHOWN) is None
    assert reason(SHOWN, now=NOW + 7199) is None
    assert reason(SHOWN, now=NOW + 7200) == "pass_expired"


def test_nobody_makes_a_pass_for_longer_than_a_day() -> None:
    assert reason(make_pass(ASSET, LANE, NOW + MAX_PASS_SECONDS, SESSION.sign_digest)) is None
    assert reason(make_pass(ASSET, LANE, NOW + MAX_PASS_SECONDS + 1, SESSION.sign_digest)) == "pass_too_long"


def test_a_pass_of_another_lane_host_time_or_signer_does_not_hold() -> None:
    other = make_pass(ASSET, LANE, NOW + 7200, Account(b"\x32" * 32).sign_digest)
    tail = int.from_bytes(SHOWN.signature[32:], "big")
    s, parity = tail & (1 << 255) - 1, tail >> 255
    high = SHOWN.signature[:32] + ((ORDER - s) | (1 - parity) << 255).to_bytes(32, "big")
    for shown in (
        other,
        Pass(b"\xb3" * 32, SHOWN.until_unix_s, SHOWN.signature),
        Pass(LANE, SHOWN.until_unix_s + 1, SHOWN.signature),
        Pass(LANE, SHOWN.until_unix_s, high),
        Pass(LANE, SHOWN.until_unix_s, bytes(64)),
        Pass(LANE[:31], SHOWN.until_unix_s, SHOWN.signature),
    ):
        assert reason(shown) == "pass_not_signed"
    assert reason(SHOWN, asset=b"\xa2" * 32) == "pass_not_signed"


@settings(max_examples=50, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.integers(0, 10**18 - 1), st.binary(min_size=64, max_size=64))
def test_the_header_means_the_pass(lane: bytes, until: int, signature: bytes) -> None:
    shown = Pass(lane, until, signature)
    assert read_pass(shown.header) == shown
    assert read_pass(shown.header.replace("Subak", "subak").replace(",", " , ")) == shown


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300))
def test_any_other_header_is_refused_in_words(text: str) -> None:
    for header in (text, "Subak " + text):
        with pytest.raises(ValueError, match=r"authorization|pass|until|0x"):
            read_pass(header)


@pytest.mark.parametrize(
    "header",
    [
        SHOWN.header.replace("until=", "until=-"),
        SHOWN.header.replace("until=", "until=1.0"),
        SHOWN.header.replace("until=", "until=٣"),
        SHOWN.header.replace("lane=0x", "lane="),
        SHOWN.header.replace("lane=0x", "lane=0x00"),
        SHOWN.header.replace("lane=0xb", "lane=0xg"),
        SHOWN.header.replace("lane=0xb2", "lane=0x b"),
        SHOWN.header[:-2],
        SHOWN.header + ",more=1",
        SHOWN.header.replace("until", "lane"),
        SHOWN.header.replace("Subak", "Bearer"),
        SHOWN.header.replace("Subak", ""),
    ],
)
def test_a_header_that_is_nearly_a_pass_is_refused(header: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_pass(header)


def test_a_digest_takes_only_what_fits() -> None:
    for asset, lane, until in ((ASSET[:31], LANE, 1), (ASSET, LANE + b"\0", 1), (ASSET, LANE, -1), (ASSET, LANE, 1 << 63)):
        with pytest.raises(ValueError, match=r"32 bytes|until"):
            pass_digest(asset, lane, until)
