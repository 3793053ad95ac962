"""Finds the kinds that are installed and checks that they are the ones a policy names."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from importlib.metadata import entry_points
from pathlib import Path

from subak.core.canon.json import hash_json
from subak.core.kind import Kind, Rules
from subak.core.nouns.policy import Policy

GROUP = "subak.kinds"


class KindMismatch(ValueError):
    """The policy asks for rules that are not the installed ones."""


@cache
def installed() -> Mapping[str, Kind]:
    """Every kind installed here, by name; the newest version of each. Errors: as ``versions``."""
    return {kind.rules.name: kind for kind in sorted(versions(), key=lambda kind: kind.rules.version)}


@cache
def versions() -> tuple[Kind, ...]:
    """Every version of every kind that is installed. An older version stays installed beside a newer one under another entry point, the
    kind's name with a hyphen and anything after it, so that old epochs can be recomputed under their own rules.

    Errors: ValueError if an entry point's name is not its rules' name.
    """
    kinds = []
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        kind = point.load()
        if point.name.partition("-")[0] != kind.rules.name:
            raise ValueError(f"entry point {point.name} of {GROUP} brings rules named {kind.rules.name}")
        kinds.append(kind)
    return tuple(kinds)


def _packages(name: str) -> list[str]:
    """What brings the kind here, with versions, as pip names it."""
    dists = (point.dist for point in entry_points(group=GROUP) if point.name.partition("-")[0] == name)
    return sorted({f"{dist.name} {dist.version}" for dist in dists if dist is not None})


def rules_hash(rules: Rules) -> bytes:
    """Hash of the rules' source files: canonical JSON {path: SHA-256}, hashed. It says which law a verifier judges by."""
    module = inspect.getmodule(type(rules))
    if module is None or module.__file__ is None:
        raise ValueError(f"the rules of {rules.name} have no source file to hash")
    return _folder_hash(Path(module.__file__).parent)


@cache
def _folder_hash(folder: Path) -> bytes:
    return hash_json({path.relative_to(folder).as_posix(): sha256(path.read_bytes()).digest() for path in sorted(folder.rglob("*.py"))})


def rules_for(policy: Policy) -> dict[str, Rules]:
    """The rules that ``policy`` names. Errors: KindMismatch saying which version or hash disagrees, and what to do."""
    found: dict[str, Rules] = {}
    for name, wanted in policy.kinds.items():
        here = [kind.rules for kind in versions() if kind.rules.name == name]
        right = [rules for rules in here if rules.version == wanted.version and rules_hash(rules) == wanted.rules_hash]
        if not right:
            wants = f"{name} version {wanted.version} with hash {wanted.rules_hash.hex()}"
            if not here:
                names = sorted({kind.rules.name for kind in versions()})
                raise KindMismatch(f"the policy wants {wants}, installed are only {names}: pip install the package that brings it")
            are = ", ".join(f"version {rules.version} with hash {rules_hash(rules).hex()}" for rules in here)
            raise KindMismatch(
                f"the policy wants {wants}, installed is {are} (from {', '.join(_packages(name))}): pip install the release whose version "
                f"{wanted.version} has that hash, beside what is here: as the entry point {name}-v{wanted.version} of the group {GROUP}"
            )
        found[name] = right[0]
    return found
