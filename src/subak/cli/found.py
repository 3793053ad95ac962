"""What a founder does: make a policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from subak.archive.store import FolderArchive, content_hash
from subak.archive.tables import write_limit_table
from subak.chain.deploy import word_of
from subak.cli.registering import read_assets
from subak.cli.units import DAY_S, cell_of, day_start, tell
from subak.core.canon.json import encode
from subak.core.kind import Rules
from subak.core.nouns import Bootstrap, Hash, KindPolicy, Policy, Requirement, Usage
from subak.kinds.registry import installed, rules_hash

CLEAR_SKY = "clear_sky"
_SUBJECTS = ("asset", "owner")


class CannotBuild(ValueError):
    """A policy that cannot be made of what was said; the text names what is missing or disagrees."""


@dataclass(frozen=True)
class Wishes:
    """What a founder wants of a policy, as on the command line."""

    kinds: str
    """Names of kinds, with commas."""
    first: str
    """First day that limit tables cover."""
    last: str
    """Last day, included."""
    cells: str
    """H3 cells that limit tables cover, hex digits with commas."""
    assets: Path | None
    """CSV of assets whose cells they cover too."""
    parameters: str
    """kind.name=number with commas, in place of what the kinds' rules take by themselves."""
    requires: str
    """kind:topic:subject or kind:topic:subject:cell, with commas."""
    bootstrap: Bootstrap
    """What installed capacity earns before customers pay."""
    k_bps: int
    """See ``Usage``."""
    late_epochs: int
    """See ``Policy``."""


def run_policy_build(out: Path, wishes: Wishes, json: bool) -> int:
    """Write policy and tables; print the hash."""
    archive = FolderArchive(out)
    names = _list(wishes.kinds)
    unknown = [name for name in names if name not in installed()]
    if unknown or not names or len(set(names)) < len(names):
        raise CannotBuild(
            f"--kinds is {wishes.kinds!r}: name each kind once, of those that are installed: {', '.join(sorted(installed()))}"
        )
    rules = {name: installed()[name].rules for name in sorted(names)}
    parameters, requirements = _parameters(wishes.parameters, rules), _requirements(wishes.requires, rules)
    tables = {name: _tables(rules[name], wishes) for name in rules}
    written = {name: {table: Hash(write_limit_table(archive, rows)) for table, rows in each.items()} for name, each in tables.items()}
    policy = Policy(
        version=1,
        late_epochs=wishes.late_epochs,
        kinds={
            name: KindPolicy(each.version, Hash(rules_hash(each)), parameters[name], written[name], requirements[name])
            for name, each in rules.items()
        },
        bootstrap=wishes.bootstrap,
        usage=Usage(wishes.k_bps),
    )
    raw = encode(policy)
    digest = content_hash(raw).hex()
    archive.put(f"policy/{digest}.json", raw)
    rows = {name: {table: len(frame) for table, frame in each.items()} for name, each in tables.items()}
    words = [f"policy 0x{digest} in {out}"]
    for name in rules:
        numbers = ", ".join(f"{key} {value:,}" for key, value in sorted(parameters[name].items()))
        sizes = "".join(f"; table {table} of {count:,} rows" for table, count in rows[name].items())
        needs = "".join(f"; {each.subject} needs {each.topic!r}" for each in requirements[name])
        words.append(f"  {name}: {numbers or 'no parameters'}{sizes}{needs}")
    tell(json, {"policy": "0x" + digest, "kinds": sorted(rules), "tables": rows}, "\n".join(words))
    return 0


def _tables(rules: Rules, wishes: Wishes) -> Mapping[str, pl.DataFrame]:
    """The limit tables that a kind asks for, by name."""
    if not rules.tables:
        return {}
    if rules.name != "energy" or set(rules.tables) != {CLEAR_SKY}:
        raise CannotBuild(f"{rules.name} asks for the limit tables {sorted(rules.tables)}, and nothing here makes them")
    from subak.kinds.energy.policy import build_clear_sky

    cells = {cell_of(each) for each in _list(wishes.cells)}
    if wishes.assets is not None:
        cells |= {row.cell for row in read_assets(wishes.assets) if row.kind == rules.name}
    if not cells or not wishes.first or not wishes.last:
        lacking = [
            name for name, given in (("--cells or --assets", cells), ("--first", wishes.first), ("--last", wishes.last)) if not given
        ]
        raise CannotBuild(f"energy is limited by the sun, place by place and hour by hour: name {' and '.join(lacking)}")
    first, end = day_start(wishes.first, "--first"), day_start(wishes.last, "--last") + DAY_S
    if end <= first:
        raise CannotBuild(f"the last day {wishes.last} is before the first one {wishes.first}")
    return {CLEAR_SKY: build_clear_sky(sorted(cells), first, end)}


def _parameters(text: str, rules: Mapping[str, Rules]) -> dict[str, dict[str, int]]:
    """What each kind's rules take by themselves, and what was said in its place."""
    found = {name: dict(getattr(each, "parameters", {})) for name, each in rules.items()}
    for each in _list(text):
        path, _, number = each.partition("=")
        kind, _, name = path.partition(".")
        if kind not in rules or not name or not (number.isascii() and number.isdecimal()) or int(number) >= 1 << 63:
            raise CannotBuild(f"--parameters has {each!r}: write kind.name=number, of the kinds {', '.join(rules)}")
        found[kind][name] = int(number)
    return found


def _requirements(text: str, rules: Mapping[str, Rules]) -> dict[str, tuple[Requirement, ...]]:
    found: dict[str, list[Requirement]] = {name: [] for name in rules}
    for each in _list(text):
        parts = each.split(":")
        if len(parts) not in (3, 4) or parts[0] not in rules or parts[2] not in _SUBJECTS:
            raise CannotBuild(f"--requires has {each!r}: write kind:topic:asset or kind:topic:owner, and :cell after it if you like")
        word_of(parts[1])
        found[parts[0]].append(Requirement(parts[1], parts[2], cell_of(parts[3]) if len(parts) == 4 else 0))
    return {name: tuple(each) for name, each in found.items()}


def _list(text: str) -> Sequence[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
