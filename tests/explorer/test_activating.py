"""A vote brings a new version of a kind into force: from its epoch on it is the law, and every epoch before stays what it was."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from serving import archive_of
from small_town import EPOCH_S, Town, build_town
from typer.testing import CliRunner, Result

import subak.kinds.energy
from subak.archive.books import read_policy, read_state
from subak.chain.contracts import Sender
from subak.chain.deploy import contract
from subak.chain.governance import Governance, ProposalState, Support
from subak.cli.main import app
from subak.core.canon.json import encode, hash_json
from subak.core.nouns import Hash, KindPolicy
from subak.core.settlement.money import to_ints
from subak.kinds import registry
from subak.kinds.registry import KindMismatch, rules_for, rules_hash
from subak.verifier.replaying import replay

FROM = 13
"""The epoch from which version 2 is in force."""


class Pip:
    """Installs energy 2 beside energy 1, as a release of somebody else: whoever exported anything shares the pot alike."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(Path(subak.kinds.energy.__file__ or "").parent, folder / "energy_two", ignore=shutil.ignore_patterns("__pycache__"))
        law = folder / "energy_two" / "rules" / "__init__.py"
        text = law.read_text()
        for old, new in (
            ("version: int = 1", "version: int = 2"),
            ("work[REWARDED_EXPORT]}", 'work[REWARDED_EXPORT].astype(bool).astype("int64")}'),
        ):
            assert text.count(old) == 1
            text = text.replace(old, new)
        law.write_text(text)
        info = folder / "energy_next-2.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: energy-next\nVersion: 2.0\n")
        (info / "entry_points.txt").write_text("[subak.kinds]\nenergy-v2 = energy_two:kind\n")

    def install(self) -> None:
        sys.path.insert(0, str(self.folder))
        self._forget()

    def uninstall(self) -> None:
        if str(self.folder) in sys.path:
            sys.path.remove(str(self.folder))
        self._forget()
        for name in [name for name in sys.modules if name.partition(".")[0] == "energy_two"]:
            del sys.modules[name]

    @staticmethod
    def _forget() -> None:
        for each in (registry.installed, registry.versions, registry._folder_hash):
            each.cache_clear()


@pytest.fixture(scope="module")
def pip(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pip]:
    found = Pip(tmp_path_factory.mktemp("site"))
    yield found
    found.uninstall()


@dataclass(frozen=True)
class Changed:
    """A town after the change, and its archive's address."""

    town: Town
    url: str
    old: Hash
    new: Hash

    def check(self, epoch: int) -> Result:
        """``subak check``."""
        return CliRunner().invoke(app, ["check", str(epoch), "--archive", self.url, "--rpc", self.town.rpc.url, "--json"])

    def earned(self, epoch: int) -> list[int]:
        """What each home earned in the range that ends with this epoch."""
        finals = self.town.follower.history()
        at = next(place for place, final in enumerate(finals) if final.last == epoch)
        totals = []
        for final in finals[max(0, at - 1) : at + 1]:
            assets = read_state(self.town.archive, final.state_root).assets
            totals.append(dict(zip(assets["asset"], to_ints(assets["rewards"]), strict=True)))
        before, after = totals if at else ({}, totals[0])
        return [after[home.asset] - before.get(home.asset, 0) for home in self.town.homes]


@pytest.fixture(scope="module")
def changed(pip: Pip, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Changed]:
    """Epoch 0 becomes final; members vote for version 2 from epoch 13 on; the epochs 1 to 12 become final under version 1, 13 under 2."""
    folder = tmp_path_factory.mktemp("town")
    town = build_town(folder, (1, 2, 5))
    try:
        town.close_epochs()
        pip.install()
        old = town.policy_hash
        law = read_policy(town.archive, old)
        newest = registry.installed()["energy"].rules
        assert newest.version == 2
        energy = law.kinds["energy"]
        next_ = KindPolicy(2, Hash(rules_hash(newest)), energy.parameters, energy.tables)
        policy = msgspec.structs.replace(law, kinds={**law.kinds, "energy": next_})
        town.archive.put(f"policy/{hash_json(policy).hex()}.json", encode(policy))
        vote(town, lambda governance: governance.propose([governance.set_policy(FROM, hash_json(policy))], "energy 2"))
        town.close_epochs(FROM - 1)
        town.policy_hash = hash_json(policy)
        town.close_epochs()
        with archive_of(folder) as url:
            yield Changed(town, url, Hash(old), Hash(hash_json(policy)))
    finally:
        town.chain.stop()


def vote(town: Town, propose: Callable[[Governance], object]) -> None:
    """Everybody is for it; it is carried out."""

    def go_to(unix_s: int) -> None:
        town.chain.run_from(unix_s)
        town.chain.freeze()

    for each in town.verifiers:
        Sender(town.rpc, each).send(contract(town.rpc, town.network.contracts, "Token"), "delegate", each.address)
    go_to(town.chain.now() + 60)
    members = [Governance(town.rpc, town.network.contracts, Sender(town.rpc, each)) for each in town.verifiers]
    propose(members[0])
    number = len(members[0].proposals())
    go_to(members[0].proposal(number).vote_start_unix_s + 1)
    for member in members:
        member.vote(member.proposal(number), Support.FOR)
    go_to(members[0].proposal(number).vote_end_unix_s + 1)
    members[0].queue(members[0].proposal(number))
    go_to(members[0].proposal(number).eta_unix_s + 1)
    members[0].execute(members[0].proposal(number))
    assert members[0].proposal(number).state is ProposalState.EXECUTED


def test_each_epoch_was_settled_under_the_version_of_its_time(changed: Changed) -> None:
    follower = changed.town.follower
    assert [follower.policy(epoch) for epoch in (0, FROM - 1, FROM)] == [changed.old, changed.old, changed.new]
    finals = {final.last: final.policy_hashes for final in follower.history()}
    assert finals == {0: (changed.old,), FROM - 1: (changed.old,) * (FROM - 1), FROM: (changed.new,)}
    assert len(set(changed.earned(0))) == 3, "version 1 pays by what was exported"
    alike = changed.earned(FROM)
    assert len(set(alike)) == 1, "version 2 pays everyone alike"
    assert alike[0] > 0


@pytest.mark.parametrize("epoch", [0, 5, FROM])
def test_every_epoch_comes_out_again_under_its_own(changed: Changed, pip: Pip, epoch: int) -> None:
    told = json.loads(changed.check(epoch).stdout)
    assert told["passed"], told
    roots = {fact["name"]: fact["recomputed"] for fact in told["facts"]}
    final = next(final for final in changed.town.follower.history() if final.first <= epoch <= final.last)
    assert (roots["root"], roots["stateRoot"]) == ("0x" + final.root.hex(), "0x" + final.state_root.hex())


def test_without_the_version_that_a_policy_wants_the_error_says_which_and_how_to_get_it(changed: Changed, pip: Pip) -> None:
    new = read_policy(changed.town.archive, changed.new).kinds["energy"].rules_hash
    old = read_policy(changed.town.archive, changed.old).kinds["energy"].rules_hash
    pip.uninstall()
    try:
        told = changed.check(FROM)
        assert told.exit_code != 0
        words = str(told.exception)
        assert (
            f"the policy wants energy version 2 with hash {new.hex()}, installed is version 1 with hash {old.hex()} (from subak " in words
        )
        assert "pip install the release whose version 2 has that hash, beside what is here: as the entry point energy-v2" in words
        assert json.loads(changed.check(0).stdout)["passed"], "what the older version settled needs no newer one"
    finally:
        pip.install()
    assert json.loads(changed.check(FROM).stdout)["passed"], "installed, it is the same again"


def test_rules_with_the_right_version_and_another_hash_are_not_taken(changed: Changed, pip: Pip) -> None:
    """Somebody's energy 2 is not the energy 2 that members voted for."""
    policy = read_policy(changed.town.archive, changed.new)
    law = pip.folder / "energy_two" / "rules" / "__init__.py"
    voted = law.read_text()
    pip.uninstall()
    law.write_text(voted + "\n# Nothing but a remark.\n")
    pip.install()
    try:
        with pytest.raises(KindMismatch, match=r"wants energy version 2 with hash .*version 2 with hash .*energy-next 2\.0"):
            rules_for(policy)
    finally:
        pip.uninstall()
        law.write_text(voted)
        pip.install()
    assert rules_for(policy)["energy"].version == 2


def test_a_proposed_version_can_be_replayed_before_anyone_votes(changed: Changed) -> None:
    """The epochs 1 to 12, settled under version 1, as they would have been under 2: the same pot, alike for all."""
    town = changed.town
    found = replay(town.archive, town.rpc, town.network, 1, read_policy(town.archive, changed.new), last=FROM - 1)
    assert (found.first, found.last) == (1, FROM - 1)
    assert sorted(each.rewards for each in found.assets) == sorted(changed.earned(FROM - 1))
    assert len({each.rewards_under for each in found.assets}) == 1
    (energy,) = found.pools
    assert 0 < energy.minted == energy.minted_under


def test_the_clock_of_the_change_is_the_epochs(changed: Changed) -> None:
    """The policy acts from the first second of its epoch, not from the vote's end."""
    executed = changed.town.follower.events()
    set_ = next(event for event in executed if event.name == "PolicySet" and event.values["policyHash"] == changed.new)
    assert set_.values["fromEpoch"] == FROM
    assert set_.log.timestamp < changed.town.network.clock.first_unix_s(FROM) - EPOCH_S // 2
