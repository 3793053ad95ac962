"""The attack lab: every cheat as a bot, with what it costs and what it brings."""

from subak.lab.attacks.bots import Attack, Outcome
from subak.lab.attacks.page import objects, page
from subak.lab.attacks.table import GROUPS, Group, Row, played

__all__ = ["GROUPS", "Attack", "Group", "Outcome", "Row", "objects", "page", "played"]
