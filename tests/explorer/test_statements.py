"""What owners read, word by word."""

from __future__ import annotations

import json
from typing import Any

import pytest

from subak.core.nouns import Address, Clock, Contracts, Network
from subak.explorer.reading import AssetFacts
from subak.explorer.statements import Statement, in_words, tell
from subak.explorer.wallets import Currencies
from subak.explorer.words import TokenFacts, amount, decimal, span, spans_in_words

JUNE_4 = 1_496_534_400
"""4 June 2017, 00:00 UTC."""
HOUR = 3600
CURRENCIES = Currencies(TokenFacts("SUBAK", 18), TokenFacts("TUSD", 6))
OWNER, MASON = ("0x" + each * 20 for each in ("0a", "0b"))
NETWORK = Network("town", 1, Clock(0, 86_400, 0, 3600, 21_600), Contracts(*[Address(bytes(20))] * 10))


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
    assert spans_in_words([(JUNE_4 + 1, JUNE_4 + 3), (JUNE_4 + 59, JUNE_4 + 60)], JUNE_4) == "00:00:01–00:00:03, 00:00:59–00:01:00"


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


def test_fees_are_told_beside_rewards() -> None:
    told = _told(
        epochs=[
            _epoch(3, rewards="5" + "0" * 17, fees="1200000"),
            _epoch(4, rewards="0", fees="1"),
            _epoch(5, rewards="0", fees="0"),
        ],
        asset={"rewards": "5" + "0" * 17, "fees": "1200001"},
    )
    lines = in_words(told).splitlines()
    assert lines[1].endswith("0 Wh exported, 0.5 SUBAK and 1.2 TUSD earned.")
    assert lines[2].endswith("0 Wh exported, 0.000001 TUSD earned.")
    assert lines[3].endswith("0 Wh exported, 0 SUBAK earned.")
    assert lines[4].startswith("In 3 epochs: 0 intervals accepted, 9 Wh exported, 0.5 SUBAK and 1.200001 TUSD earned, 0 refused")
    one = Currencies(CURRENCIES.token, CURRENCIES.token, one=True)
    (line,) = in_words(_told(epochs=[_epoch(3, rewards="7" + "0" * 18, fees="2" + "0" * 18)], currencies=one)).splitlines()[1:2]
    assert line.endswith("7 SUBAK of rewards and 2 SUBAK of fees earned.")


def test_what_it_asks_what_waits_and_what_is_unsold() -> None:
    offer = {"price": "120000", "per_units": 1000, "valid_until_unix_s": JUNE_4}
    waits = {"billed": "7000000", "payers": 2, "bills_waiting": "3000000", "fees_waiting": "2700000", "unsold": "10"}
    said = {**offer, "capacity": 4000, "endpoint": "http://home.example", "epoch": 1, "asset": "0x"}
    told = _told(asset={**offer, **waits}, offer=said)
    assert told.offer is not None
    assert (told.offer.capacity, told.offer.endpoint) == (4000, "http://home.example")
    text = in_words(told)
    assert "It asks 0.12 TUSD for 1,000 Wh exported, until 4 June 2017, 00:00 UTC." in text
    assert "Customers were billed 7 TUSD on 2 lanes." in text
    assert "3 TUSD of that waits until more of its work is measured; 2.7 TUSD of it will be its fees." in text
    assert "Work worth 0.00001 TUSD was measured and nobody was billed for it yet." in text
    for other in ({"price": "1"}, {"per_units": 1}, {"valid_until_unix_s": 1}, {"capacity": 0}):
        stale = _told(asset=offer, offer={**said, **other}).offer
        assert stale is not None
        assert (stale.price, stale.capacity, stale.endpoint) == ("120000", None, ""), "of an offer that is not the state's, nothing is told"
    assert "It offers nothing now." in in_words(_told(asset={**offer, "price": "0"}, offer={**said, "capacity": 0}))


def test_debts_are_told_by_currency_and_creditor() -> None:
    began = [
        {"epoch": 2, "currency": "rewards", "amount": "2" + "0" * 18, "creditor": "", "why": "It was counted twice."},
        {"epoch": 4, "currency": "rewards", "amount": "3" + "0" * 18, "creditor": "", "why": "And again"},
        {"epoch": 4, "currency": "fees", "amount": "5", "creditor": OWNER, "why": "He was billed for a night"},
    ]
    told = _told(corrections=began, debts=[{"asset": "0x", "currency": "rewards", "creditor": "", "amount": "1" + "0" * 18}])
    assert [line for line in in_words(told).splitlines() if "owes" in line or "kept back" in line] == [
        "From epoch 4 on it owes 0.000005 TUSD of fees: He was billed for a night.",
        f"All of that was kept back; it goes to {OWNER}.",
        "From epoch 2 on it owes 2 SUBAK of rewards: It was counted twice.",
        "From epoch 4 on it owes 3 SUBAK of rewards: And again.",
        "1 SUBAK of that is still to be kept back from what it earns; it returns to the pool.",
    ]


def test_a_disk_is_told_what_it_answered() -> None:
    ever = {"wrong_answers": 1, "faulty_epochs": 1, "right_answers": 459}
    refusals = [{**_refusal(8, "refused", "wrong"), "end_unix_s": JUNE_4 + 8 * HOUR + 1}]
    told = _told(
        asset={"kind": "storage", "counters": ever},
        epochs=[_epoch(3, last=4, accepted=459, rewards=None, fees=None), _epoch(4, first=3, rewards="0", counters=ever)],
        reasons=[_reason("refused", "wrong", "leaf and path do not fit", 1)],
        refusals=refusals,
    )
    lines = in_words(told).splitlines()
    assert lines[1] == (
        "Epoch 3 (4 June 2017): 459 answers accepted, 0 KiB hours kept and proven, earnings with those of epoch 4. "
        "1 answer refused: 08:00:00–08:00:01, leaf and path do not fit."
    )
    assert lines[2].endswith("Counted by epochs 3 to 4: 459 right answers, 1 wrong answer, 1 faulty epoch.")
    assert lines[4] == "Counted: 459 right answers, 1 wrong answer, 1 faulty epoch."
    assert told.epochs[0].counters == {}
    assert told.epochs[1].counters["offline_epochs"] == told.counters["offline_epochs"] == 0


def test_shared_earnings_waiting_rewards_and_a_device_that_has_not_signed() -> None:
    site = "0x" + "5e" * 32
    told = _told(
        asset={
            "live": False,
            "waiting": "2" + "0" * 18,
            "payees": [{"payee": OWNER, "parts": 3}, {"payee": site, "parts": 1}],
        },
        sites={site: {"owner": MASON, "payees": []}},
    )
    text = in_words(told)
    assert "its device has not signed that its owner holds it" in text
    assert "2 SUBAK more is earned and waits to vest." in text
    assert f"Paid to {OWNER}, which has 3 of 4 parts of it: 7 SUBAK on the books; the chain did not answer" in text
    assert f"Paid to the site {site}, which has 1 of 4 parts of it and pays its own payees:\nfrom the site to {MASON}: 0 SUBAK on" in text
    assert "In 0 epochs" in text


def test_a_statement_is_plain_data_for_programs() -> None:
    told = json.loads(json.dumps(_told(epochs=[_epoch(0, accepted=1, rewards="0")]).as_dict()))
    assert told["epochs"][0]["words"].startswith("Epoch 0 (")
    assert told["rewards"] == "7" + "0" * 18
    assert told["token"] == {"symbol": "SUBAK", "decimals": 18}


def _told(
    asset: dict[str, Any] | None = None,
    epochs: list[dict[str, Any]] | None = None,
    currencies: Currencies = CURRENCIES,
    **facts: Any,
) -> Statement:
    whole = "7" + "0" * 18
    row = {"id": "0x" + "01" * 32, "kind": "energy", "owner": OWNER, "cell": "8729a004bffffff", "rated": 4000, "live": True, "units": 9}
    row |= {
        "rewards": whole,
        "payees": [],
        "price": None,
        "per_units": None,
        "valid_until_unix_s": None,
        "paid_epochs": 0,
        "payers": 0,
        "counters": {},
    }
    row |= dict.fromkeys(("fees", "waiting", "fees_waiting", "bills_waiting", "unsold", "billed"), "0") | (asset or {})
    lines = {name: sum(each[name] for each in epochs or []) for name in ("accepted", "instants", "held", "refused")}
    rest: dict[str, Any] = {name: [] for name in ("reasons", "refusals", "corrections", "debts", "payers")}
    rest |= {"offer": None, "sites": {}, "accounts": {OWNER: {"rewards": whole, "fees": "0"}}, **facts}
    return tell(AssetFacts(row, {"epochs": len(epochs or []), **lines}, epochs or [], **rest), currencies, NETWORK, None)


def _epoch(epoch: int, first: int | None = None, last: int | None = None, **values: Any) -> dict[str, Any]:
    start = JUNE_4 + (epoch - 3) * 24 * HOUR
    times = {"first_unix_s": start, "end_unix_s": start + 24 * HOUR, "first": epoch if first is None else first}
    counts = {"accepted": 0, "instants": 0, "held": 0, "refused": 0, "units": 0, "fees": "0", "counters": {}}
    return {"epoch": epoch, "last": epoch if last is None else last, **times, **counts, **values}


def _reason(status: str, reason: str, sentence: str, lines: int) -> dict[str, Any]:
    return {"epoch": 3, "status": status, "reason": reason, "sentence": sentence, "lines": lines}


def _refusal(hour: int, status: str, reason: str) -> dict[str, Any]:
    start = JUNE_4 + hour * HOUR
    return {"epoch": 3, "status": status, "reason": reason, "start_unix_s": start, "end_unix_s": start + HOUR}
