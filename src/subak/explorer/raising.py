"""A raise as it stands: its state, what its milestones' assets have proven, its revenue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from subak.explorer.reading import Row
from subak.explorer.wallets import Purse

WHOLE_BPS = 10_000


def state_of(row: Mapping[str, Any], now_unix_s: int) -> str:
    """``raise``, ``live`` or ``refund``, as the contract tells it from its supply and the time."""
    supply = int(row["supply"])
    over = now_unix_s >= row["raise_end_unix_s"]
    if supply >= int(row["soft_cap"]) and (over or supply == int(row["hard_cap"])):
        return "live"
    return "refund" if over else "raise"


def milestone_told(each: Mapping[str, Any], row: Mapping[str, Any], now_unix_s: int) -> Row:
    """A milestone with its ``amount`` and ``state``: ``released``; ``reached``: anyone can release it; ``open``: work is missing;
    ``not owned``: the share contract does not own its asset; ``lapsed``: its money is the holders'; ``waits`` for the raise's success."""
    amount = int(row["supply"]) * each["amount_bps"] // WHOLE_BPS
    told = {**each, "amount": each["released"] if each["released"] is not None else str(amount)}
    return {**told, "state": _milestone_state(each, row, now_unix_s)}


def _milestone_state(each: Mapping[str, Any], row: Mapping[str, Any], now_unix_s: int) -> str:
    if each["released"] is not None:
        return "released"
    state = state_of(row, now_unix_s)
    if state == "refund" or (state == "live" and now_unix_s >= row["build_end_unix_s"]):
        return "lapsed"
    if state == "raise":
        return "waits"
    if not each["asset"]:
        return "reached"
    if each["owner"] != row["address"]:
        return "not owned"
    done = each["units"] >= int(each["min_units"]) and each["paid_epochs"] >= each["min_paid_epochs"]
    return "reached" if done else "open"


def part_bps(shares: str, supply: str) -> int:
    """A holder's part in basis points, rounded down."""
    return int(shares) * WHOLE_BPS // int(supply) if int(supply) else 0


def revenue_told(row: Mapping[str, Any], purse: Purse, booked: Mapping[str, str], one_currency: bool, now_unix_s: int) -> list[Row]:
    """Revenue by currency, in its base units: ``counted`` ever, of it ``withdrawn`` by holders, ``arrived`` and not counted yet, and
    ``to_claim``: what the settlement owes and nobody claimed yet. The last two are None if the chain did not answer."""
    escrow = int(row["supply"]) - int(row["released"]) if now_unix_s < row["build_end_unix_s"] else 0
    live = state_of(row, now_unix_s) == "live"
    told = []
    for currency, balance, taken in (("fees", purse.payment_balance, purse.fees_taken), ("rewards", purse.balance, purse.taken)):
        counted, withdrawn = int(row[f"{currency}_revenue"]), int(row[f"{currency}_withdrawn"])
        known = counted - withdrawn + (escrow if currency == "fees" else 0)
        arrived = None if balance is None or not live else str(max(0, int(balance) - known))
        if currency == "rewards" and one_currency:
            arrived = None if arrived is None else "0"
        told.append(
            {
                "currency": currency,
                "counted": str(counted),
                "withdrawn": str(withdrawn),
                "arrived": arrived,
                "to_claim": None if taken is None else str(max(0, int(booked[currency]) - int(taken))),
            }
        )
    return told
