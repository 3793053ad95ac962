"""Amounts, times and counts as people read them: exact, and UTC."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

MOST_SPANS = 6
"""Time spans that a sentence names before it says how many more there are."""


@dataclass(frozen=True)
class TokenFacts:
    """How amounts are written."""

    symbol: str
    """The token's ticker."""
    decimals: int
    """Digits after the point of one whole token."""


def spans_in_words(spans: Iterable[tuple[int, int]], epoch_start: int) -> str:
    """Times in UTC, those of the epoch's first day without a date."""
    known = list(spans)
    first = _moment(epoch_start)
    day = first.date() if first else None
    words = [_clock_span(start, end, day) for start, end in known[:MOST_SPANS]]
    more = len(known) - len(words)
    return ", ".join(words) + (f" and {count(more)} more times" if more else "")


def amount(base_units: str | int, token: TokenFacts) -> str:
    """An amount of token, exact: "1,234.0312 SUBAK"."""
    return f"{decimal(base_units, token.decimals)} {token.symbol}"


def decimal(base_units: str | int, decimals: int) -> str:
    """Base units as whole tokens, exact, without zeros at the end."""
    value = int(base_units)
    whole, part = divmod(abs(value), 10**decimals)
    fraction = f"{part:0{decimals}d}".rstrip("0") if decimals else ""
    return f"{'-' if value < 0 else ''}{whole:,}{'.' + fraction if fraction else ''}"


def count(number: int) -> str:
    """A whole number with commas."""
    return f"{number:,}"


def some(number: int, noun: str) -> str:
    """A count of things: "1 interval", "21 intervals"."""
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def moment(unix_s: int) -> str:
    """A time for people, UTC: "4 June 2017, 07:00"."""
    at = _moment(unix_s)
    return f"{at.day} {at:%B %Y, %H:%M}" if at else f"{unix_s} (Unix seconds)"


def span(start: int, end: int) -> str:
    """A span for people, UTC: "4 June 2017" for a whole day, otherwise with times."""
    first, last = _moment(start), _moment(end)
    if first is None or last is None:
        return f"{start} to {end} (Unix seconds)"
    if end - start == 86_400 and first.hour == first.minute == first.second == 0:
        return f"{first.day} {first:%B %Y}"
    if start == end:
        return f"{moment(start)} UTC"
    if end - start < 86_400:
        return f"{moment(start)}–{last:%H:%M} UTC"
    year = "" if first.year == last.year else f" {last.year}"
    return f"{first.day} {first:%B %Y %H:%M} to {last.day} {last:%B}{year} {last:%H:%M} UTC"


def _moment(unix_s: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(unix_s, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _clock_span(start: int, end: int, day: object) -> str:
    first, last = _moment(start), _moment(end)
    if first is None or last is None:
        return f"{start} to {end} (Unix seconds)"
    clock = "%H:%M:%S" if start % 60 or end % 60 else "%H:%M"
    date = "" if first.date() == day else f"{first.day} {first:%B} "
    if start == end:
        return f"{date}{first:{clock}}"
    until = f"{last:{clock}}" if last - first < timedelta(days=1) else f"{last.day} {last:%B} {last:{clock}}"
    return f"{date}{first:{clock}}–{until}"
