"""Finds what could bring a float, or the outer world, into code that must give the same bytes everywhere."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

_FLOAT_NAMES = re.compile(r"(b?float|Float|half$|single$|double$|longdouble$|complex|Complex|csingle$|cdouble$)")
_FLOAT_DTYPE = re.compile(r"[<>=|]?(f(2|4|8|16)|[edgFDG]|c(8|16)|float(16|32|64|128)?|complex(64|128)?|double|single|half)")
"""Strings that NumPy takes for a float's dtype."""
_FLOAT_MAKERS = re.compile(
    r"(nan)?(mean|average|std|var|median|percentile|quantile)|(rolling|ewm)_\w+|sqrt|cbrt|exp|exp2|expm1|log\w*|sin|cos|tan|hypot|power|"
    r"true_?div(ide)?|divide|reciprocal|(lin|log|geom)space|interp\w*|fsum|pct_change|corr"
)
"""Functions and methods whose result is a float, whatever they are given."""
_FLOAT_BY_DEFAULT = {"zeros": 1, "ones": 1, "empty": 1, "eye": 3, "identity": 1, "fromiter": 1}
"""NumPy makers that give floats unless told otherwise: the place of their dtype."""
_PLAIN = {"__future__", "collections", "dataclasses", "enum", "functools", "itertools", "operator", "typing", "numpy", "subak.core"}
ALLOWED_IMPORTS = {
    "rules": frozenset(_PLAIN | {"hashlib"}),
    "core": frozenset(_PLAIN | {"cryptography", "hashlib", "msgspec", "nacl", "polars", "sha3", "struct"}),
}
"""All that core and a kind's rules may import, beside modules of the same rules."""


def floats_in(source: str) -> list[str]:
    """Each place that could make a float, as "line: what"; empty for exact code."""
    return [f"{line}: {what}" for line, what in sorted(_floats(ast.parse(source)))]


def imports_beyond(source: str, room: str) -> list[str]:
    """Each import that the room (a key of ``ALLOWED_IMPORTS``) does not allow, as "line: module"."""
    allowed = ALLOWED_IMPORTS[room]
    found = []
    for node in ast.walk(ast.parse(source)):
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            modules = [node.module or ""]
        elif isinstance(node, ast.ImportFrom) and node.level > 1:
            modules = ["." * node.level + (node.module or "")]
        elif isinstance(node, ast.Name) and node.id in {"__import__", "open", "eval", "exec", "input", "print", "breakpoint"}:
            modules = [node.id]
        found += [f"{node.lineno}: {module}" for module in modules if not _within(module, allowed)]  # type: ignore[attr-defined]
    return found


def _within(module: str, allowed: frozenset[str]) -> bool:
    parts = module.split(".")
    return any(".".join(parts[:count]) in allowed for count in range(1, len(parts) + 1))


def _floats(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant):
            if isinstance(node.value, float | complex):
                yield node.lineno, f"the literal {node.value!r}"
            elif isinstance(node.value, str) and _FLOAT_DTYPE.fullmatch(node.value) and len(node.value) > 1:
                yield node.lineno, f"the dtype {node.value!r}"
        elif isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            yield node.lineno, "true division"
        elif isinstance(node, ast.Name) and _FLOAT_NAMES.match(node.id):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and _FLOAT_NAMES.match(node.attr):
            yield node.lineno, f".{node.attr}"
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + ([node.module or ""] if isinstance(node, ast.ImportFrom) else [])
            yield from ((node.lineno, f"import of {name}") for name in names if name in {"math", "cmath", "statistics"})
        elif isinstance(node, ast.Call):
            yield from _calls(node)


def _calls(node: ast.Call) -> Iterator[tuple[int, str]]:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id if isinstance(node.func, ast.Name) else ""
    if _FLOAT_MAKERS.fullmatch(name):
        yield node.lineno, f"{name}()"
    if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name) and node.func.value.id in {"np", "numpy"}:
        told = any(keyword.arg == "dtype" for keyword in node.keywords)
        if name in _FLOAT_BY_DEFAULT and not told and len(node.args) <= _FLOAT_BY_DEFAULT[name]:
            yield node.lineno, f"np.{name}() without a dtype"
        if (
            name in {"array", "asarray"}
            and not told
            and len(node.args) == 1
            and isinstance(node.args[0], ast.List)
            and not node.args[0].elts
        ):
            yield node.lineno, f"np.{name}([]) without a dtype"
