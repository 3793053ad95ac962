"""A complete, tested and useless kind, to copy.

It pays for ticks of a counter. To make your own: copy this folder, rename ``blueprint`` and ``ticks``, name the entry point in
``pyproject.toml`` (group ``subak.kinds``), and copy ``tests/kinds/test_blueprint.py``, which inherits the conformance tests.
"""

from __future__ import annotations

from subak.core.kind import Kind

from .rules import BlueprintRules

kind = Kind(rules=BlueprintRules(), notes={"ticks": "ticks counted", "rated": "ticks per hour"})
"""What the entry point would give."""
