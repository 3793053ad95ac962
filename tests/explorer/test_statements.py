"""What owners read, word by word."""

from __future__ import annotations

import json
from typing import Any

import pytest

from subak.core.nouns import Address, Clock, Contracts, Network
from subak.explorer.reading import AssetFacts
from subak.explorer.statements import Statement, TokenFacts, amount, decimal, in_words, span, spans_in_words, tell

JUNE_4 = 1_496_534_400
"""4 June 2017, 00:00 UTC."""
HOUR = 3600
TOKEN = TokenFacts("SUBAK", 18)
OWNER = "0x" + "0a" * 20
NETWORK = Network("town", 1, Clock(0, 86_400, 0, 3600, 21_600), Contracts(*[Address(bytes(20))] * 6))


@pytest.mark.parametrize(
    ("base_units", "decimals", "words"),
    [
        (0, 18, "0"),
        (1, 18, "0.000000000000000001"),
        (31_200_000_000_000_000, 18, "0.0312"),
        (1_234_000_000_000_000_000_000, 18, "1,234"),
        (2**127, 18, "170,141,183,460,469,231,731.687303715884105728"),
        (1_234_567, 0, "1,234,567"),
        (-5, 2, "-0.05"),
    ],
)
def test_amounts_are_exact(base_units: int, decimals: int, words: str) -> None:
    assert decimal(str(base_units), decimals) == words
    assert amount(base_units, TokenFacts("T", decimals)) == f"{words} T"


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        (JUNE_4, JUNE_4 + 24 * HOUR, "4 June 2017"),
        (JUNE_4 + 7 * HOUR, JUNE_4 + 31 * HOUR, "4 June 2017 07:00 to 5 June 07:00 UTC"),
        (JUNE_4 + 12 * HOUR, JUNE_4 + 13 * HOUR, "4 June 2017, 12:00–13:00 UTC"),
        (JUNE_4 + 23 * HOUR, JUNE_4 + 24 * HOUR, "4 June 2017, 23:00–00:00 UTC"),
        (JUNE_4, JUNE_4, "4 June 2017, 00:00 UTC"),
        (1_514_700_000, 1_514_900_000, "31 December 2017 06:00 to 2 January 2018 13:33 UTC"),
        (2**62, 2**62 + 1, f"{2**62} to {2**62 + 1} (Unix seconds)"),
    ],
)
def test_times_are_said_in_utc(start: int, end: int, words: str) -> None:
    assert span(start, end) == words


def test_many_times_are_cut_short() -> None:
    spans = [(JUNE_4 + 2 * hour * HOUR, JUNE_4 + (2 * hour + 1) * HOUR) for hour in range(13)]
    words = spans_in_words(spans, JUNE_4)
    assert words.startswith("00:00–01:00, 02:00–03:00, ")
    assert words.endswith(" and 7 more times")
    assert spans_in_words([(JUNE_4 + 25 * HOUR, JUNE_4 + 26 * HOUR)], JUNE_4) == "5 June 01:00–02:00"


def test_an_epoch_in_the_owners_words() -> None:
    refused = [_refusal(hour, "refused", "over_clear_sky") for hour in (12, 13, 16)]
    told = _told(
        epochs=[_epoch(3, accepted=22, instants=1, held=1, refused=3, units=18_431, rewards="31200000000000000")],
        reasons=[
            _reason("accepted", "accepted", "accepted", 20),
            _reason("accepted", "spans_gap", "covers a gap: counted, without bootstrap reward", 2),
            _reason("held", "counter_dropped", "a counter ran backwards", 1),
            _reason("refused", "over_clear_sky", "more was produced than a clear sky allows", 3),
        ],
        refusals=[*refused, _refusal(20, "held", "counter_dropped")],
    )
    assert in_words(told).splitlines()[1] == (
        "Epoch 3 (4 June 2017): 21 intervals accepted, 1 message noted, 18,431 Wh exported, 0.0312 SUBAK earned. "
        "2 of them: covers a gap: counted, without bootstrap reward. "
        "1 interval held: 20:00–21:00, a counter ran backwards. "
        "3 intervals refused: 12:00–14:00, 16:00–17:00, more was produced than a clear sky allows."
    )


def test_a_range_says_whose_earnings_it_tells() -> None:
    told = _told(
        epochs=[_epoch(3, first=3, last=4, accepted=24, rewards=None), _epoch(4, first=3, last=4, accepted=24, rewards="5" + "0" * 18)]
    )
    lines = in_words(told).splitlines()
    assert lines[1].endswith("earnings with those of epoch 4.")
    assert lines[2].endswith("5 SUBAK earned by epochs 3 to 4.")


def test_shared_earnings_waiting_rewards_and_a_device_that_has_not_signed() -> None:
    site = "0x" + "5e" * 32
    told = _told(
        asset={
            "live": False,
            "waiting": "2" + "0" * 18,
            "payees": [{"payee": OWNER, "parts": 3}, {"payee": site, "parts": 1}],
        },
    )
    text = in_words(told)
    assert "its device has not signed that its owner holds it" in text
    assert "2 SUBAK more is earned and waits to vest." in text
    assert f"Paid to {OWNER}, which has 3 of 4 parts of it: 7 SUBAK on the books; the chain did not answer" in text
    assert f"Paid to the site {site}, which has 1 of 4 parts of it" in text
    assert "In 0 epochs" in text


def test_a_statement_is_plain_data_for_programs() -> None:
    told = json.loads(json.dumps(_told(epochs=[_epoch(0, accepted=1, rewards="0")]).as_dict()))
    assert told["epochs"][0]["words"].startswith("Epoch 0 (")
    assert told["rewards"] == "7" + "0" * 18
    assert told["token"] == {"symbol": "SUBAK", "decimals": 18}


def _told(
    asset: dict[str, Any] | None = None,
    epochs: list[dict[str, Any]] | None = None,
    reasons: list[dict[str, Any]] | None = None,
    refusals: list[dict[str, Any]] | None = None,
) -> Statement:
    whole = "7" + "0" * 18
    row = {"id": "0x" + "01" * 32, "kind": "energy", "owner": OWNER, "cell": "8729a004bffffff", "rated": 4000, "live": True, "units": 9}
    row |= {"rewards": whole, "fees": "0", "waiting": "0", "payees": [], **(asset or {})}
    lines = {name: sum(each[name] for each in epochs or []) for name in ("accepted", "instants", "held", "refused")}
    totals = {"epochs": len(epochs or []), **lines}
    return tell(AssetFacts(row, totals, epochs or [], reasons or [], refusals or [], {OWNER: whole}), TOKEN, NETWORK, None)


def _epoch(epoch: int, first: int | None = None, last: int | None = None, **values: Any) -> dict[str, Any]:
    start = JUNE_4 + (epoch - 3) * 24 * HOUR
    times = {"first_unix_s": start, "end_unix_s": start + 24 * HOUR, "first": epoch if first is None else first}
    counts = {"accepted": 0, "instants": 0, "held": 0, "refused": 0, "units": 0}
    return {"epoch": epoch, "last": epoch if last is None else last, **times, **counts, **values}


def _reason(status: str, reason: str, sentence: str, lines: int) -> dict[str, Any]:
    return {"epoch": 3, "status": status, "reason": reason, "sentence": sentence, "lines": lines}


def _refusal(hour: int, status: str, reason: str) -> dict[str, Any]:
    start = JUNE_4 + hour * HOUR
    return {"epoch": 3, "status": status, "reason": reason, "start_unix_s": start, "end_unix_s": start + HOUR}
