"""What a change of the rules would have done to epochs that are final: exact, from public data."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from small_town import BUDGET, Town, build_town

from subak.archive.books import read_policy, read_state
from subak.core.canon.ids import commitment, seal_of
from subak.core.canon.json import encode, hash_json
from subak.core.nouns import Contents, Hash, Head, Policy, Seal
from subak.core.nouns.document import Signature
from subak.core.settlement.money import to_ints
from subak.verifier.replaying import as_document, replay


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
    found = replay(town.archive, town.rpc, town.network, 3, weights_bps={"energy": 5_000, "verifiers": 5_000})
    assert 0 <= found.minted - 2 * found.minted_under <= 6
    document = as_document(found, None, {"energy": 5_000, "verifiers": 5_000})
    assert (document["policy"], document["minted"]) == (None, str(found.minted))


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
        third = BUDGET * 5_000 // 10_000 // 3
        assert [(by_name[each.address].rewards, by_name[each.address].rewards_under) for each in town.verifiers] == [(0, 2 * third)] * 3
    finally:
        built.chain.stop()
