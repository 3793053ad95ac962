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
    """Every kind installed here, by name. Errors: ValueError if an entry point's name is not its rules' name."""
    kinds: dict[str, Kind] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        kind = point.load()
        if kind.rules.name != point.name:
            raise ValueError(f"entry point {point.name} of {GROUP} brings rules named {kind.rules.name}")
        kinds[point.name] = kind
    return kinds


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
    kinds = installed()
    found: dict[str, Rules] = {}
    for name, wanted in policy.kinds.items():
        if name not in kinds:
            raise KindMismatch(f"the policy names the kind {name}; installed are {sorted(kinds)}: install the package that brings it")
        rules = kinds[name].rules
        if rules.version != wanted.version or rules_hash(rules) != wanted.rules_hash:
            raise KindMismatch(
                f"the policy wants {name} version {wanted.version} with hash {wanted.rules_hash.hex()[:16]}…, installed is version "
                f"{rules.version} with hash {rules_hash(rules).hex()[:16]}…: install the release that the policy was made with"
            )
        found[name] = rules
    return found
