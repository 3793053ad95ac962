"""A replay over epochs in which a new Settlement took over: what people got in both, and would have got."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from small_town import BUDGET
from succession_world import CLOCK, DAY_S, World, open_world

from subak.archive.books import read_state
from subak.chain.snapshot import Finalised, Follower
from subak.core.settlement.money import to_ints
from subak.verifier.replaying import Replay, replay

HALF = {"energy": 5_000, "verifiers": 5_000}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Epochs 0 and 1 are final in the first Settlement, 2 and 3 in the one that followed it."""
    world = open_world(tmp_path_factory.mktemp("across"))
    try:
        world.go_to(CLOCK.first_unix_s(0) + DAY_S)
        next_ = world.deploy_next()
        replaceable = world.announce(next_)
        for epoch in (0, 1):
            world.go_to(CLOCK.end_unix_s(epoch))
            world.say(epoch)
            world.go_to(CLOCK.close_unix_s(epoch))
            world.settle()
        world.go_to(CLOCK.end_unix_s(2))
        world.say(2)
        world.go_to(replaceable)
        world.door("network", "succeed", "--network", world.file, "--key", world.key(2000))
        world.door("network", "follow", "--network", world.file)
        world.stop()
        world.start()
        world.settle()
        yield world
    finally:
        world.close()


def finals(world: World) -> list[Finalised]:
    return Follower(world.rpc, world.network.contracts, world.network.clock).history()


def accounts_of(world: World, final: Finalised) -> dict[bytes, int]:
    accounts = read_state(world.archive, final.state_root).accounts
    return dict(zip(accounts["account"], to_ints(accounts["rewards"]), strict=True))


def got(found: Replay) -> dict[bytes, int]:
    return {each.name: each.rewards for each in found.accounts if each.rewards}


def test_what_people_got_in_both_settlements_adds_up(world: World) -> None:
    *old, new = finals(world)
    assert len({each.settlement for each in (old[-1], new)}) == 2
    found = replay(world.archive, world.rpc, world.network, 7, weights_bps=HALF)
    assert (found.first, found.last) == (0, new.last)
    one, other = accounts_of(world, old[-1]), accounts_of(world, new)
    assert got(found) == {name: one.get(name, 0) + other.get(name, 0) for name in one.keys() | other.keys()}
    assert found.minted == old[-1].rewards + new.rewards
    energy, verifiers = found.pools
    assert (energy.pool, verifiers.pool) == ("energy", "verifiers")
    epochs = new.last + 1
    assert 0 <= energy.minted - 2 * energy.minted_under <= 2 * epochs
    assert 0 < energy.minted <= epochs * BUDGET


def test_a_replay_of_the_new_ones_epochs_begins_with_its_totals_at_zero(world: World) -> None:
    new = finals(world)[-1]
    found = replay(world.archive, world.rpc, world.network, new.last - new.first + 1, weights_bps=HALF)
    assert (found.first, found.last) == (new.first, new.last)
    assert got(found) == accounts_of(world, new)
    assert found.minted == new.rewards


def test_a_replay_can_end_before_the_new_one_began(world: World) -> None:
    *old, new = finals(world)
    found = replay(world.archive, world.rpc, world.network, 7, weights_bps=HALF, last=old[-1].last)
    assert (found.first, found.last, found.minted) == (0, new.first - 1, old[-1].rewards)
    assert got(found) == accounts_of(world, old[-1])
