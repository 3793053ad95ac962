"""Amounts and times as people write them, exact: whole numbers of the smallest unit inside, decimals outside."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import typer

from subak.explorer.words import TokenFacts, amount, decimal

if TYPE_CHECKING:
    from subak.chain.rpc import Rpc
    from subak.core.nouns import Network

DAY_S = 86_400
COIN_DECIMALS = 18
"""Of the chain's own coin, on every EVM chain."""
_NUMBER = re.compile(r"([0-9]{1,40})(?:\.([0-9]{1,40}))?", re.ASCII)


class NotReadable(ValueError):
    """Something on the command line, or in a file that it names, that is not what it has to be; the text says what."""


@dataclass(frozen=True)
class Currency(TokenFacts):
    """How amounts of a token or stablecoin are written, and read."""

    def plain(self, base_units: int) -> str:
        """Exact, for tables and programs: "1234.5", as decimal text."""
        return decimal_text(base_units, self.decimals)

    def words(self, base_units: int) -> str:
        """Exact, for people: "1,234.5 TUSD" with its ticker."""
        return amount(base_units, self)

    def told(self, base_units: int) -> dict[str, str]:
        """For programs: the exact number of smallest units, and the same as people write it."""
        return {"base_units": str(base_units), "units": self.plain(base_units), "symbol": self.symbol}

    def parse(self, text: str, what: str) -> int:
        """Smallest units of "12.5". Errors: NotReadable naming ``what``, its text and what is wrong with it."""
        found = _NUMBER.fullmatch(text.strip())
        if found is None:
            raise NotReadable(f"{what} is {text!r}: write it as 12.5, in {self.symbol}")
        whole, part = found[1], (found[2] or "").rstrip("0")
        if len(part) > self.decimals:
            raise NotReadable(f"{what} is {text}: {self.symbol} has {self.decimals} digits after the point, not {len(part)}")
        return int(whole + part.ljust(self.decimals, "0"))


@dataclass(frozen=True)
class Currencies:
    """The two that a network pays in."""

    payment: Currency
    """What customers pay in, and fees are."""
    token: Currency
    """What rewards are."""


def currencies(rpc: Rpc, network: Network) -> Currencies:
    """As the chain writes them. Errors: those of questions to it."""
    from subak.chain.channels import Erc20

    payment, token = (Currency(*Erc20(rpc, address).written()) for address in (network.contracts.payment, network.contracts.token))
    return Currencies(payment, token)


def decimal_text(base_units: int, decimals: int) -> str:
    """Smallest units as a decimal number, exact: no commas, no zeros at the end, a point only if something stands after it."""
    return decimal(base_units, decimals).replace(",", "")


def coin(wei: int) -> str:
    """An amount of the chain's own coin."""
    return decimal_text(wei, COIN_DECIMALS)


def when(unix_s: int) -> str:
    """A network time for people: "2017-06-04 07:00 UTC"."""
    try:
        return f"{datetime.fromtimestamp(unix_s, UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError, OSError):
        return f"{unix_s} (Unix seconds)"


def day_start(text: str, what: str) -> int:
    """Unix seconds at which a day (UTC), written 2017-06-01, begins. Errors: NotReadable."""
    try:
        return int(datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp())
    except ValueError:
        raise NotReadable(f"{what} is {text!r}: write a day as 2017-06-01") from None


def hex_bytes(text: str, length: int, what: str) -> bytes:
    """The bytes of 0x hex. Errors: NotReadable."""
    try:
        raw = bytes.fromhex(text.removeprefix("0x")) if text.isascii() and not any(map(str.isspace, text)) else b""
    except ValueError:
        raw = b""
    if len(raw) != length:
        raise NotReadable(f"{what} is {text!r}: write 0x and {2 * length} hex digits")
    return raw


def address(text: str, what: str = "the account") -> bytes:
    """The 20 bytes of an address. Errors: NotReadable."""
    return hex_bytes(text, 20, what)


def hexed(raw: bytes) -> str:
    """0x hex."""
    return "0x" + raw.hex()


def short(raw: bytes) -> str:
    """The beginning of an id, for people who have it elsewhere in full."""
    return f"0x{raw.hex()[:12]}…"


def tell(json: bool, facts: Any, words: str) -> None:
    """Print what came of a command, for programs or for people."""
    typer.echo(msgspec.json.encode(facts).decode() if json else words)


def table(titles: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[int] = frozenset()) -> str:
    """Plain columns; those numbered in ``right`` stand on the right."""
    widths = [max(len(row[place]) for row in [titles, *rows]) for place in range(len(titles))]

    def line(row: Sequence[str]) -> str:
        cells = (cell.rjust(widths[place]) if place in right else cell.ljust(widths[place]) for place, cell in enumerate(row))
        return "  ".join(cells).rstrip()

    return "\n".join(line(row) for row in [titles, *rows])


def cell_of(text: str) -> int:
    """An H3 cell of hex digits. Errors: NotReadable."""
    try:
        cell = int(text, 16)
    except ValueError:
        cell = 0
    if not 0 < cell < 1 << 63:
        raise NotReadable(f"{text!r} is no H3 cell: write its 15 hex digits, as 8729a004bffffff")
    return cell
