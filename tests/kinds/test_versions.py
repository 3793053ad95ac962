"""Two versions of one kind side by side: a policy names the one it means, so old epochs stay recomputable under their own rules."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "core" / "settlement"))

from world import Device, Said, book, earned, verdicts

import subak.kinds._blueprint
from subak.core.kind import ACCEPTED
from subak.core.nouns import Book, Bootstrap, Hash, KindPolicy, Policy, State
from subak.core.settlement import settle_range
from subak.kinds import registry
from subak.kinds._blueprint.rules import BASELINE, TOO_FAST


@pytest.fixture
def both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[int, bytes]]:
    """The blueprint as two packages of a stranger, installed as pip would: version 1, and version 2 that takes twice the rated pace."""
    source = Path(subak.kinds._blueprint.__file__ or "").parent
    for package in ("ticks_one", "ticks_two"):
        shutil.copytree(source, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    newer = tmp_path / "ticks_two" / "rules" / "__init__.py"
    law = newer.read_text().replace("version: int = 1", "version: int = 2").replace("most = rated *", "most = 2 * rated *")
    assert law.count("version: int = 2") == law.count("2 * rated") == 1
    newer.write_text(law)
    info = tmp_path / "ticks-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ticks\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text("[subak.kinds]\nblueprint = ticks_two:kind\nblueprint-v1 = ticks_one:kind\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    caches = (registry.installed, registry.versions, registry._folder_hash)
    for each in caches:
        each.cache_clear()
    hashes = {kind.rules.version: registry.rules_hash(kind.rules) for kind in registry.versions() if kind.rules.name == "blueprint"}
    yield hashes
    monkeypatch.undo()
    for each in caches:
        each.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] in ("ticks_one", "ticks_two")]:
        del sys.modules[name]


def policy(version: int, rules_hash: bytes) -> Policy:
    return Policy(1, 7, {"blueprint": KindPolicy(version, Hash(rules_hash), {}, {})}, Bootstrap(escrow_epochs=0))


def test_each_policy_gets_the_version_that_it_names(both: dict[int, bytes]) -> None:
    assert both.keys() == {1, 2}
    assert both[1] != both[2]
    for version, rules_hash in both.items():
        assert registry.rules_for(policy(version, rules_hash))["blueprint"].version == version
    assert registry.installed()["blueprint"].rules.version == 2, "what is offered for new policies is the newest"


def test_a_version_with_another_hash_is_refused_with_what_is_there(both: dict[int, bytes]) -> None:
    with pytest.raises(registry.KindMismatch, match=r"wants blueprint version 1 with hash .*, installed is version 2 .*, version 1 "):
        registry.rules_for(policy(1, both[2]))
    with pytest.raises(registry.KindMismatch, match=r"wants wind version 1 with hash .*, installed are only .*pip install the package"):
        registry.rules_for(Policy(1, 7, {"wind": KindPolicy(1, Hash(both[1]), {}, {})}, Bootstrap(escrow_epochs=0)))


def ticking(epoch: int, law: Policy, counters: dict[str, tuple[int, ...]]) -> Book:
    """Devices rated 100 ticks an hour say their counters, an hour each, from the epoch's first hour on."""
    rules = registry.rules_for(law)
    (reading,) = rules["blueprint"].schemas
    devices = [Device(name, kind="blueprint", rated=100) for name in counters]
    said = [Said(name, 10 + epoch, rows, schema=reading) for name, rows in counters.items()]
    return replace(book(devices, said, epoch=epoch, budgets={"blueprint": 1_000}, kinds=rules), policy=law)


def test_a_version_activates_at_its_epoch_and_the_epochs_before_keep_theirs(both: dict[int, bytes]) -> None:
    """A runs at its rated pace, B half as fast again: version 1 refuses B, version 2 takes it.

    Epoch 0, version 1: A's 100 ticks get the whole 1,000. Epoch 1, version 2: A's clock ran a day for 100 ticks and an hour for 100, B's
    refused 150 stay refused, and what came after is 150 in a day and 150 in an hour: 200 and 300 of 500 ticks, so 400 and 600.
    """
    laws = [policy(version, both[version]) for version in (1, 2)]
    rules = [registry.rules_for(law) for law in laws]
    books = [
        ticking(0, laws[0], {"A": (1_000, 1_100), "B": (1_000, 1_150)}),
        ticking(1, laws[1], {"A": (1_200, 1_300), "B": (1_300, 1_450)}),
    ]
    old, new = settle_range(books, State.genesis(), rules)
    assert verdicts(old) == [("A", 10, [BASELINE, ACCEPTED], [0, 100]), ("B", 10, [BASELINE, TOO_FAST], [0, 0])]
    assert verdicts(new) == [("A", 11, [ACCEPTED, ACCEPTED], [100, 100]), ("B", 11, [ACCEPTED, ACCEPTED], [150, 150])]
    assert (earned(old.state), earned(new.state)) == ({"A": 1_000, "B": 0}, {"A": 1_400, "B": 600})

    again = settle_range(books[:1], State.genesis(), [registry.rules_for(books[0].policy)])[0]
    assert (again.state_root, again.tree.root) == (old.state_root, old.tree.root), "the old epoch under the rules that its policy names"
    with pytest.raises(ValueError, match=r"names the kinds \{'blueprint': 1\}, settled under"):
        settle_range(books[:1], State.genesis(), rules[1:])
