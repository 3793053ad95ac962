"""What an attack is, and what it came to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """The same world twice: with the bot honest, and with it cheating. Whole units of what the bot is paid in."""

    honest: int
    """What the bot earns if it is honest."""
    cheat: int
    """What it earns by the attack."""
    cost: int = 0
    """What the attack pays or loses beyond being honest; below zero if it saves."""
    reasons: Mapping[str, int] | None = None
    """Lines of the attack by the reason that caught them."""

    @property
    def profit(self) -> int:
        """What the attack brings beyond being honest."""
        return self.cheat - self.honest - self.cost


@dataclass(frozen=True)
class Attack:
    """A cheat as a bot."""

    name: str
    """What people call it."""
    source: str
    """A row of the attack catalogue, or where the cheat was seen."""
    tries: str
    """What the bot does."""
    play: Callable[[], Outcome]
    """Both worlds, settled."""
    stopped_by: str
    """What else stops it, or makes it lose, in words."""
    risk: str
    """What is left."""
    priced: str = "lying costs nothing"
    """The assumption that prices the cost."""
    pays: bool = False
    """Its profit is above zero, is known, and ``risk`` says what bounds it."""
