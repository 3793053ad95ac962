"""What a change of the rules would have done to epochs that are final: exact, from public data."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from serving import archive_of, explorer_of, until
from small_town import BUDGET, Town, build_town, lie_about_one_home
from typer.testing import CliRunner, Result

from subak.archive.books import read_policy, read_state
from subak.chain.governance import Governance, Proposal
from subak.chain.network_file import write_network
from subak.cli.main import app
from subak.core.canon.ids import commitment, seal_of
from subak.core.canon.json import encode, hash_json
from subak.core.nouns import Contents, Hash, Head, Policy, Seal
from subak.core.nouns.document import Signature
from subak.core.nouns.network import Nodes
from subak.core.settlement.money import to_ints
from subak.verifier.replaying import CannotReplay, Document, KeptRefused, as_document, differences, keep, kept_path, read_kept, replay


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    built = build_town(tmp_path_factory.mktemp("town"), (1, 2, 3))
    try:
        built.close_epochs()
        built.close_epochs(2)
        yield built
    finally:
        built.chain.stop()


@pytest.fixture
def policy(town: Town) -> Policy:
    return read_policy(town.archive, town.policy_hash)


def test_the_same_rules_change_nothing(town: Town, policy: Policy) -> None:
    found = replay(town.archive, town.rpc, town.network, 7, policy)
    assert (found.first, found.last) == (0, 2)
    assert found.accounts
    assert not [each for each in (*found.accounts, *found.assets) if each.changed]
    assert found.minted == found.minted_under == town.follower.finalised()[-1].rewards
    assert [(each.pool, each.minted, each.minted_under) for each in found.pools] == [("energy", found.minted, found.minted)]


def test_a_cap_of_half_the_pot_for_one_issuer_halves_what_it_vouches_for(town: Town, policy: Policy) -> None:
    """All homes are attested by one issuer, so each reward of an epoch is halved, rounded down; what is cut is not minted."""
    capped = msgspec.structs.replace(policy, bootstrap=msgspec.structs.replace(policy.bootstrap, issuer_cap_bps=5_000))
    found = replay(town.archive, town.rpc, town.network, 1, capped)
    assert (found.first, found.last) == (1, 2), "the last final epoch was settled in one range with the one before"
    before, after = (read_state(town.archive, final.state_root) for final in town.follower.finalised()[-2:])
    totals = [dict(zip(state.assets["asset"], to_ints(state.assets["rewards"]), strict=True)) for state in (before, after)]
    for each in found.assets:
        assert each.rewards == totals[1][each.name] - totals[0].get(each.name, 0)
        assert 0 <= each.rewards - 2 * each.rewards_under <= 4, "two epochs, each rounded down"
    assert 0 <= found.minted - 2 * found.minted_under <= 8


def test_half_the_weight_of_a_pool_mints_half(town: Town) -> None:
    """Nobody did a verifier's duties here: what the new pool does not earn is not minted."""
    found = replay(town.archive, town.rpc, town.network, 3, weights_bps={"energy": 5_000, "verifiers": 5_000})
    assert 0 <= found.minted - 2 * found.minted_under <= 6
    assert [each.pool for each in found.pools] == ["energy", "verifiers"]
    energy, verifiers = found.pools
    assert (energy.minted, energy.minted_under) == (found.minted, found.minted_under)
    assert (verifiers.minted, verifiers.minted_under) == (0, 0)
    document = as_document(found, town.network, None, None, {"energy": 5_000, "verifiers": 5_000})
    assert (document.policy, document.minted, document.proposal) == (None, str(found.minted), "")


def test_an_end_that_no_range_has_is_refused(town: Town) -> None:
    assert replay(town.archive, town.rpc, town.network, 1, last=0).last == 0
    with pytest.raises(CannotReplay, match=r"no final range ends with epoch 1; the newest ends with 2"):
        replay(town.archive, town.rpc, town.network, 1, last=1)


@pytest.fixture(scope="module")
def proposal(town: Town) -> Proposal:
    """Half of the budget to verifiers, and a stricter policy."""
    governance = Governance(town.rpc, town.network.contracts, town.sender)
    policy = read_policy(town.archive, town.policy_hash)
    capped = msgspec.structs.replace(policy, bootstrap=msgspec.structs.replace(policy.bootstrap, issuer_cap_bps=5_000))
    town.archive.put(f"policy/{hash_json(capped).hex()}.json", encode(capped))
    actions = [governance.set_policy(99, hash_json(capped)), governance.set_weights(99, {"energy": 5_000, "verifiers": 5_000})]
    governance.propose(actions, "less for homes")
    return governance.proposals()[-1]


@pytest.fixture
def kept(town: Town, proposal: Proposal) -> Document:
    """Its replay of the epochs 0 and 1 to 2, as the archive keeps it."""
    policy, weights = _changes(town, proposal)
    again = replay(town.archive, town.rpc, town.network, 7, policy, weights)
    document = as_document(again, town.network, proposal, policy, weights)
    keep(town.archive, town.network, proposal.number, document)
    return document


def _changes(town: Town, proposal: Proposal) -> tuple[Policy, dict[str, int]]:
    governance = Governance(town.rpc, town.network.contracts)
    set_, weights = governance.policy_of(proposal), governance.weights_of(proposal)
    assert set_ is not None
    assert weights is not None
    return read_policy(town.archive, set_[1]), weights[1]


def _read(town: Town, proposal: Proposal, weights: dict[str, int] | None = None) -> Document | None:
    policy, true = _changes(town, proposal)
    return read_kept(town.archive, town.network, proposal, hash_json(policy), weights or true, town.rpc)


def test_a_kept_replay_is_found_and_comes_out_again_to_the_byte(town: Town, proposal: Proposal, kept: Document) -> None:
    found = _read(town, proposal)
    assert found == kept
    policy, weights = _changes(town, proposal)
    again = replay(town.archive, town.rpc, town.network, found.last - found.first + 1, policy, weights, found.last)
    document = as_document(again, town.network, proposal, policy, weights)
    assert encode(document) == town.archive.get(kept_path(town.network, proposal.number))
    assert differences(found, document) == []


def test_a_replay_is_kept_through_the_door_checked_by_anyone_and_shown_on_the_page(town: Town, proposal: Proposal) -> None:
    """Whoever has the archive's folder keeps it; whoever reads it computes it again; the page shows it and says where it is from."""
    folder = Path(str(town.archive)).parent
    write_network(folder / "network.toml", msgspec.structs.replace(town.network, nodes=Nodes(rpc=town.rpc.url)))
    with archive_of(folder) as url:

        def door(*words: object) -> Result:
            command = ["proposal", "replay", *words, "--network", folder / "network.toml"]
            return CliRunner().invoke(app, [str(each) for each in command])

        number = proposal.number
        path = Path(str(town.archive)) / kept_path(town.network, number)
        path.unlink(missing_ok=True)
        none = door(number, "--archive", url, "--check")
        assert "keeps no replay of proposal 1: whoever has its folder" in str(none.exception)
        told = json.loads(door(number, "--archive", town.archive, "--json").stdout)
        assert told["kept"] == kept_path(town.network, number)
        assert told["hash"] == "0x" + sha256(path.read_bytes()).hexdigest()
        same = door(number, "--archive", url, "--check")
        assert same.exit_code == 0
        assert "is the same" in same.stdout
        assert re.search(r"^energy +[0-9.]+ +[0-9.]+ +-[0-9.]+$", same.stdout, re.MULTILINE)

        with explorer_of(town, url, folder / "page.sqlite") as site:
            until(lambda: site.get("/healthz").json()["last_epoch"] == 2)
            until(lambda: site.facts(f"/proposals/{number}")["proposal"]["replay"]["state"] != "running")
            shown = site.facts(f"/proposals/{number}")["proposal"]["replay"]
            assert (shown["state"], shown["kept"], shown["hash"]) == ("done", told["kept"], told["hash"])
            assert [(row["pool"], row["minted"], row["minted_under"]) for row in shown["pools"]] == [
                (row["pool"], row["minted"], row["minted_under"]) for row in told["pools"]
            ]
            assert shown["pools"][0]["difference"].startswith("-")
            page = site.get(f"/proposals/{number}").text
            assert "What each pool would have given" in page
            assert f"subak proposal replay {number} --check" in page

        path.write_bytes(path.read_bytes().replace(told["minted_under"].encode(), b"7"))
        false = door(number, "--archive", url, "--check", "--json")
        assert false.exit_code == 1
        assert json.loads(false.stdout)["differences"][0] == f"minted_under: kept 7, computed {told['minted_under']}"
        unproposed = json.loads(door("--archive", url, "--pools", "energy=5000,verifiers=5000", "--epochs", 3, "--json").stdout)
        assert (unproposed["number"], unproposed["proposal"], unproposed["first"]) == (None, "", 0)
        assert "kept" not in unproposed


def test_an_archive_that_keeps_none_says_so(town: Town, proposal: Proposal) -> None:
    assert _read(town, replace(proposal, number=77)) is None


def test_what_a_kept_replay_claims_of_the_chain_is_checked(town: Town, proposal: Proposal, kept: Document) -> None:
    lies: list[tuple[dict[str, Any], str]] = [
        ({"proposal": "1"}, "has as its proposal 1, the chain "),
        ({"policy": None}, "has as its policy None, the chain 0x"),
        ({"weights_bps": {"energy": 10_000}}, "weights_bps"),
        ({"first": 2}, "first epoch of a range"),
        ({"last": 1}, "state after epoch 1"),
        ({"state_root": Hash(bytes(32))}, "state after epoch 2"),
        ({"chain_id": 1}, "chain_id"),
        ({"format": "subak/replay/0"}, "format"),
        ({"minted": "-1"}, "is no replay"),
    ]
    for lie, words in lies:
        keep(town.archive, town.network, proposal.number, msgspec.structs.replace(kept, **lie))
        with pytest.raises(KeptRefused, match=words):
            _read(town, proposal)
    town.archive.put(kept_path(town.network, proposal.number), b" " + encode(kept), replace=True)
    with pytest.raises(KeptRefused, match="canonical form"):
        _read(town, proposal)


def test_a_kept_replay_with_another_sum_is_told_apart(town: Town, proposal: Proposal, kept: Document) -> None:
    """Sums are the keeper's word: whoever computes them again sees which differ."""
    first, *others = kept.accounts
    richer = msgspec.structs.replace(first, rewards_under=str(int(first.rewards_under) + 1))
    false = msgspec.structs.replace(kept, minted_under="7", accounts=(richer, *others))
    keep(town.archive, town.network, proposal.number, false)
    found = _read(town, proposal)
    assert found == false
    assert differences(found, kept) == [
        f"minted_under: kept 7, computed {kept.minted_under}",
        f"accounts: 1 of {len(kept.accounts)} differ, {first.name} first: kept rewards {first.rewards}, rewards_under "
        f"{richer.rewards_under}, fees 0, fees_under 0, computed rewards {first.rewards}, rewards_under {first.rewards_under}, fees 0, "
        "fees_under 0",
    ]


def test_a_final_root_that_its_books_do_not_come_to_is_not_replayed(tmp_path: Path) -> None:
    built = build_town(tmp_path, (1, 2))
    try:
        built.close_epochs(lie=lie_about_one_home(built.homes[0].asset), pay=False)
        with pytest.raises(CannotReplay, match=r"epochs 0 to 0 are final with the state .* `subak check 0` shows where"):
            replay(built.archive, built.rpc, built.network, 1, weights_bps={"energy": 10_000})
    finally:
        built.chain.stop()


NOT_SIGNED = Signature(bytes(64))
"""Who settles a Book does not look at the signatures of heads; who closes one does."""


class SealingTown(Town):
    """A town whose verifiers do their duties: each head seals the Book before and reveals what the one before committed to."""

    sealed: tuple[bytes, bytes] | None = None
    """Hash of the newest settled Book, and of its verdicts."""

    def live_an_epoch(self) -> None:
        (settled,) = self.close_epochs()
        book = self.follower.finalised()[-1].book_hashes[0]
        self.sealed = book, settled.verdicts_hash

    def _book(self, epoch: int) -> Contents:
        heads = [self._head(bytes(each.address), epoch) for each in self.verifiers]
        for head in heads:
            self.archive.put(f"heads/{hash_json(head).hex()}.json", encode(head))
        contents = msgspec.structs.replace(super()._book(epoch), heads=tuple(sorted(Hash(hash_json(head)) for head in heads)))
        self.archive.put(f"book/{hash_json(contents).hex()}.json", encode(contents))
        return contents

    def _head(self, signer: bytes, epoch: int) -> Head:
        def secret(of: int) -> Hash:
            return Hash(sha256(b"%s %d" % (signer, of)).digest())

        seals = []
        if self.sealed is not None:
            book, verdicts = self.sealed
            addresses = sorted(each.address for each in self.verifiers)
            seals = [Seal(Hash(book), each, Hash(seal_of(each, book, verdicts)), NOT_SIGNED) for each in addresses]
        return Head(
            network=Hash(self.network.id),
            epoch=epoch,
            verifier=next(each.address for each in self.verifiers if each.address == signer),
            segments=(),
            lines=(),
            commit=Hash(commitment(secret(epoch + 1))),
            reveal=secret(epoch),
            seals=tuple(seals),
            signature=NOT_SIGNED,
        )


def test_verifiers_are_paid_for_the_seals_that_they_made(tmp_path: Path) -> None:
    """Under another clear-sky margin verdicts would have differed, yet the seals of that time were right: each of three equal verifiers
    gets a third of half the budget in both epochs."""
    built = build_town(tmp_path, (1,))
    try:
        town = SealingTown(**vars(built))
        for _ in range(3):
            town.live_an_epoch()
        policy = read_policy(town.archive, town.policy_hash)
        energy = policy.kinds["energy"]
        strict = msgspec.structs.replace(energy, parameters={**energy.parameters, "margin_permille": 10, "slack_permille": 0})
        proposed = msgspec.structs.replace(policy, kinds={**policy.kinds, "energy": strict})
        found = replay(town.archive, town.rpc, town.network, 2, proposed, {"energy": 5_000, "verifiers": 5_000})
        assert (found.first, found.last) == (1, 2)
        by_name = {each.name: each for each in found.accounts}
        pools = {each.pool: (each.minted, each.minted_under) for each in found.pools}
        assert pools["verifiers"] == (0, 2 * 3 * (BUDGET * 5_000 // 10_000 // 3))
        third = BUDGET * 5_000 // 10_000 // 3
        assert [(by_name[each.address].rewards, by_name[each.address].rewards_under) for each in town.verifiers] == [(0, 2 * third)] * 3
    finally:
        built.chain.stop()
