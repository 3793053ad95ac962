"""Writes docs/attacks.md from what the bots give now: ``python -m tests.house.make_attacks`` in the project's folder."""

from __future__ import annotations

from subak.lab.attacks import page, played

from .rooms import ROOT, name

PAGE = ROOT / "docs" / "attacks.md"

if __name__ == "__main__":
    PAGE.write_text(page(played()))
    print(name(PAGE))
