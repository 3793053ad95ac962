"""Bills, in the head."""

from __future__ import annotations

import pytest

from subak.customer.billing import (
    AssetWork,
    Bill,
    BillingError,
    EpochWork,
    Kept,
    Offer,
    Share,
    billable,
    energy_bill,
    joined,
    storage_bill,
    zone_of,
)

HOUR, DAY = 3600, 86_400
ONE, TWO = b"\x01" * 32, b"\x02" * 32
HERE, NEXT_DOOR, AFAR = 0x8729A004BFFFFFF, 0x8729A0048FFFFFF, 0x872830828FFFFFF

# reported  own  measured  price  per_units | money
CASES = """
  1000      1000  1000        5         1 |  5000   all agree
   900      1000  1000        5         1 |  4500   the host reports less
  1000       900  1000        5         1 |  4500   the customer accepts less
  1000      1000   900        5         1 |  4500   less was measured
     0      1000  1000        5         1 |     0   nothing reported
  1000         0  1000        5         1 |     0   nothing accepted
  1000      1000     0        5         1 |     0   nothing measured
   999       999   999        1      1000 |     0   rounded down
  1999      1999  1999        1      1000 |     1   rounded down
  1000      1000  1000  250_000 1_000_000 |   250   0.25 TUSD for a kWh, a kWh
     7         7     7        3         2 |    10   multiplied first
  1000      1000  1000        0         1 |     0   for nothing
"""


def test_a_bill_is_the_least_of_three_at_the_price() -> None:
    for line in filter(str.strip, CASES.splitlines()):
        numbers, _, outcome = line.partition("|")
        reported, own, measured, price, per_units = (int(each) for each in numbers.split())
        assert billable(reported, own, measured, price, per_units) == int(outcome.split()[0]), line


def test_the_largest_numbers_are_exact() -> None:
    units, price = 2**50, 10**38 - 1
    assert billable(units, units, units, price, 9) == units * price // 9


@pytest.mark.parametrize("numbers", [(-1, 1, 1, 1, 1), (1, -1, 1, 1, 1), (1, 1, -1, 1, 1), (1, 1, 1, -1, 1), (1, 1, 1, 1, 0)])
def test_what_is_no_bill(numbers: tuple[int, int, int, int, int]) -> None:
    with pytest.raises(BillingError, match="no bill follows from"):
        billable(*numbers)


def work(assets: dict[bytes, AssetWork], zone: int | None = None, hours: int = 24) -> EpochWork:
    zones = {} if zone is None else {"energy": zone}
    return EpochWork(7, 7 * DAY, 7 * DAY + hours * HOUR, b"\x07" * 32, zones, assets, ({},))


THREE_FOR_TWO = Offer(3, 2)


def home(units: int, offer: Offer | None = THREE_FOR_TWO, cell: int = HERE, kind: str = "energy") -> AssetWork:
    return AssetWork(kind, cell, units, offer)


def words(bill: Bill) -> list[str]:
    return [each.why for each in bill.unbilled]


def test_a_share_of_a_home_is_rounded_down_twice() -> None:
    bill = energy_bill(work({ONE: home(1001), TWO: home(7)}), [Share(ONE, 500), Share(TWO, 1)], 0)
    assert [(line.asset, line.units, line.money) for line in bill.lines] == [(ONE, 500, 750), (TWO, 0, 0)]
    assert (bill.money, bill.by_asset, bill.by_epoch) == (750, {ONE: 750}, {7: 750})
    assert energy_bill(work({ONE: home(1001)}), [Share(ONE, 1000)], 0).lines[0].units == 1001


def test_why_a_home_is_not_on_the_bill() -> None:
    known = {ONE: home(1000, None), TWO: home(1000, kind="storage")}
    bill = energy_bill(work(known), [Share(ONE, 1), Share(TWO, 1), Share(b"\x03" * 32, 1)], 0)
    assert not bill.lines
    assert words(bill) == [
        "it offered nothing when the epoch began",
        "it is of the kind storage",
        "the network did not know it when the epoch began",
    ]


def test_a_price_above_the_highest_is_not_paid() -> None:
    asked = work({ONE: home(1000, Offer(3, 2))})
    # 3 for 2 Wh are 1,500,000 for a MWh.
    assert words(energy_bill(asked, [Share(ONE, 1000, 1_499_999)], 0)) == ["it asked 3 for 2, more than 1499999 for 1000000"]
    assert energy_bill(asked, [Share(ONE, 1000, 1_500_000)], 0).money == 1500
    assert energy_bill(asked, [Share(ONE, 1000, 0)], 0).money == 1500


def test_energy_is_sold_within_a_zone() -> None:
    assets = {ONE: home(1000, cell=NEXT_DOOR), TWO: home(1000, cell=AFAR)}
    shares = [Share(ONE, 1000), Share(TWO, 1000)]
    assert [line.asset for line in energy_bill(work(assets, zone=5), shares, HERE).lines] == [ONE]
    why = f"it is in the zone {zone_of(AFAR, 5):x}, and the customer in 8529a007fffffff"
    assert words(energy_bill(work(assets, zone=5), shares, HERE)) == [why]
    assert [line.asset for line in energy_bill(work(assets, zone=7), shares, NEXT_DOOR).lines] == [ONE]
    assert not energy_bill(work(assets, zone=7), shares, HERE).lines
    assert len(energy_bill(work(assets), shares, 0).lines) == 2
    assert all("set cell in customer.toml" in why for why in words(energy_bill(work(assets, zone=5), shares, 0)))


def test_zones_are_h3s() -> None:
    h3 = pytest.importorskip("h3")
    for cell in (HERE, NEXT_DOOR, AFAR, 0x8F2830828052D25, 0x8009FFFFFFFFFFF):
        for resolution in range(h3.get_resolution(f"{cell:x}") + 1):
            assert f"{zone_of(cell, resolution):x}" == h3.cell_to_parent(f"{cell:x}", resolution)
        assert zone_of(cell, 15) == cell


def test_stored_data_are_billed_by_kib_hours() -> None:
    disk = AssetWork("storage", HERE, 10**9, Offer(7, 1000))
    bill = storage_bill(work({ONE: disk}), [Kept(ONE, 256)])
    assert [(line.units, line.money) for line in bill.lines] == [(256 * 24, 256 * 24 * 7 // 1000)]
    # An epoch of 90 minutes; and one in which all that was proven is less than what we think is there.
    short = EpochWork(7, 0, 5400, b"", {}, {ONE: disk, TWO: AssetWork("storage", HERE, 100, Offer(7, 1000))}, ({},))
    assert [line.units for line in storage_bill(short, [Kept(ONE, 3), Kept(TWO, 10**6)]).lines] == [4, 100]


def test_stored_data_are_not_billed_unless_proven() -> None:
    disks = {ONE: AssetWork("storage", HERE, 0, Offer(7, 1)), TWO: AssetWork("storage", HERE, 100, Offer(7, 1))}
    bill = storage_bill(work(disks), [Kept(ONE, 256), Kept(TWO, 0), Kept(TWO, 256, most_per_million=6_999_999)])
    assert not bill.lines
    assert words(bill) == [
        "it did not answer for all that it holds",
        "it has not shown that our data are in the set that it was asked about",
        "it asked 7 for 1, more than 6999999 for 1000000",
    ]


def test_bills_join_in_order_and_never_twice() -> None:
    bills = [energy_bill(work({ONE: home(10), TWO: home(20)}), [Share(asset, 1000)], 0) for asset in (TWO, ONE)]
    both = joined(bills)
    assert [line.asset for line in both.lines] == [ONE, TWO]
    assert both.as_dict() == {
        "lines": [
            {"epoch": 7, "asset": "0x" + "01" * 32, "kind": "energy", "units": 10, "price": "3", "per_units": 2, "money": "15"},
            {"epoch": 7, "asset": "0x" + "02" * 32, "kind": "energy", "units": 20, "price": "3", "per_units": 2, "money": "30"},
        ],
        "unbilled": [],
        "units": {"energy": 30},
        "by_epoch": {"7": "45"},
        "by_asset": {"0x" + "01" * 32: "15", "0x" + "02" * 32: "30"},
        "money": "45",
    }
    with pytest.raises(BillingError, match="is on the bill twice, for 15 and for 15"):
        joined([bills[1], bills[1]])
