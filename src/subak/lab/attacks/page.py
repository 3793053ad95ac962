"""The table of attacks for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from subak.lab.attacks.bots import Outcome
from subak.lab.attacks.table import GROUPS, REMAINS, Row

MADE: Final = "<!-- Made by `python -m tests.house.make_attacks`; a test compares it with what the bots give. -->"
MOST_REASONS: Final = 3

Played = Mapping[str, Sequence[Row]]
"""Rows by the title of their group."""

INTRO: Final = """Every cheat of the kinds so far, played by a bot against the real settlement: Books made of what it signs, epoch after
epoch, beside the same world with the bot honest. `subak lab attacks` plays them again.

- *honest*, *cheat*: what the bot earns in either world, in whole units of what it is paid in.
- *cost*: what the attack pays, or saves (below zero), beyond being honest; above each table stands what prices it.
- *profit* = cheat − honest − cost. Above zero it is printed **bold**: those are known, and the last column says what bounds them.
- *what catches it*: the reasons that the bot's lines got in the attack and not when it was honest; then in words.

A reference is a row of the contracts' attack catalogue, a decision, a part of the design, or the study in which the cheat was seen."""


def page(played: Played) -> str:
    """docs/attacks.md."""
    parts = ["# Attacks", MADE, INTRO]
    for group in GROUPS:
        rows = [_line(row) for row in played[group.title]]
        head = ["| attack | reference | what it tries | honest | cheat | cost | profit | what catches it | what is left |"]
        parts += [f"## {group.title}", group.world, "\n".join([*head, "|---|---|---|--:|--:|--:|--:|---|---|", *rows])]
    parts += ["## What is left", *(f"**{title[0].upper()}{title[1:]}.** {words}" for title, words in REMAINS.items())]
    return "\n\n".join(parts) + "\n"


def objects(played: Played) -> list[dict[str, Any]]:
    """A row for each attack, for programs."""
    return [
        {
            "group": title,
            "attack": row.attack.name,
            "reference": row.attack.source,
            "tries": row.attack.tries,
            "honest": row.outcome.honest,
            "cheat": row.outcome.cheat,
            "cost": row.outcome.cost,
            "profit": row.outcome.profit,
            "priced_by": row.attack.priced,
            "reasons": dict(row.outcome.reasons or {}),
            "caught_by": row.attack.stopped_by,
            "risk": REMAINS.get(row.attack.risk, row.attack.risk),
            "known_to_pay": row.attack.pays,
        }
        for title, rows in played.items()
        for row in rows
    ]


def caught(outcome: Outcome) -> list[str]:
    """Names of the reasons that caught most lines, first the most."""
    reasons = outcome.reasons or {}
    return sorted(reasons, key=lambda name: (-reasons[name], name))[:MOST_REASONS]


def _line(row: Row) -> str:
    attack, outcome = row.attack, row.outcome
    found = [f"`{name}`" for name in caught(outcome)]
    risk = f"[{attack.risk}](#what-is-left)" if attack.risk in REMAINS else attack.risk
    profit = f"**{outcome.profit:,}**" if outcome.profit > 0 else f"{outcome.profit:,}"
    cells = [
        attack.name,
        attack.source,
        attack.tries,
        f"{outcome.honest:,}",
        f"{outcome.cheat:,}",
        f"{outcome.cost:,}",
        profit,
        "; ".join(part for part in (", ".join(found), attack.stopped_by) if part),
        risk,
    ]
    return f"| {' | '.join(cells)} |"
