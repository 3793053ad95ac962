"""The attack lab at the door."""

from __future__ import annotations

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from subak.lab.attacks import objects, played
from subak.lab.attacks.page import caught


def run(json: bool) -> None:
    """Play every attack and tell what it came to."""
    found = played()
    if json:
        typer.echo(msgspec.json.encode(objects(found)).decode())
        return
    console = Console()
    for title, rows in found.items():
        table = Table("attack", "honest", "cheat", "cost", "profit", "caught by", title=title, title_justify="left", expand=False)
        for name in ("honest", "cheat", "cost", "profit"):
            next(column for column in table.columns if column.header == name).justify = "right"
        for row in rows:
            outcome = row.outcome
            figures = [f"{each:,}" for each in (outcome.honest, outcome.cheat, outcome.cost, outcome.profit)]
            words = "; ".join(part for part in (", ".join(caught(outcome)), row.attack.stopped_by) if part)
            table.add_row(row.attack.name, *figures, words, style="yellow" if outcome.profit > 0 else "")
        console.print(table)
