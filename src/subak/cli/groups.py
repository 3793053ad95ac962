"""Groups of commands that behave a little differently."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup


class WithUsual(TyperGroup):
    """One command need not be named: ``subak host --network …`` is ``subak host run --network …``."""

    usual = "run"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the usual command's name before options that are not the group's own."""
        if args and args[0].startswith("-") and args[0] != "--help":
            args = [self.usual, *args]
        return super().parse_args(ctx, args)


def in_order(names: list[str]) -> type[TyperGroup]:
    """A group that names its commands in this order, whether they are groups themselves or not; others come last."""

    class InOrder(TyperGroup):
        def __init__(self, **given: Any) -> None:
            super().__init__(**given)
            places = {name: place for place, name in enumerate(names)}
            self.commands = dict(sorted(self.commands.items(), key=lambda each: places.get(each[0], len(names))))

    return InOrder
