"""A customer's bill: the channel and lanes as the chain has them, and what the settlement made of what was redeemed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from subak.explorer.reading import Row


def shares_of(row: Mapping[str, Any]) -> Row:
    """Of what was settled, what went where: total, hosts, burned, treasury; in base units of the payment asset."""
    total, net, burned = (int(row[name] or 0) for name in ("total", "net", "burned"))
    return {"total": str(total), "hosts": str(net), "burned": str(burned), "treasury": str(total - net - burned)}


def sum_of(rows: list[Row]) -> Row:
    """The same of several lanes."""
    names = ("total", "net", "burned")
    return shares_of({name: str(sum(int(row[name]) for row in rows)) for name in names})


def lane_told(row: Mapping[str, Any], now_unix_s: int) -> Row:
    """A lane with its ``state`` at this network time, what was ``settled`` of it, and what waits to be (``unsettled``)."""
    plain = {name: value for name, value in row.items() if not name.startswith("settled_")}
    settled = shares_of({name: row[f"settled_{name}"] for name in ("total", "net", "burned")})
    unsettled = int(row["redeemed"]) - int(settled["total"])
    return {**plain, "state": lane_state(row, now_unix_s), "settled": settled, "unsettled": str(unsettled)}


def lane_state(row: Mapping[str, Any], now_unix_s: int) -> str:
    """``open``; ``revoked`` or ``expired``: nobody serves on it, vouchers are still redeemed; ``over``: it can be closed; ``closed``."""
    if row["closed"]:
        return "closed"
    if now_unix_s >= row["closes_at_unix_s"]:
        return "over"
    if row["revoked"]:
        return "revoked"
    return "expired" if now_unix_s >= row["expiry_unix_s"] else "open"
