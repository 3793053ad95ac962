"""Network time never runs backwards, and stops when the chain does."""

from __future__ import annotations

import pytest

from subak.chain.clock import NetworkClock
from subak.chain.rpc import RpcUnreachable


class World:
    """A chain's head and a real clock, moved by hand."""

    def __init__(self) -> None:
        self.head: int | None = 1000
        self.real = 50.0
        self.asked = 0

    def block(self) -> int:
        self.asked += 1
        if self.head is None:
            raise RpcUnreachable("down")
        return self.head


def clock_of(world: World, speed: int, ahead_s: float | None = None) -> NetworkClock:
    return NetworkClock(world.block, speed, ahead_s=ahead_s, monotonic=lambda: world.real)


def test_it_stands_until_it_has_seen_a_block_arrive() -> None:
    world = World()
    clock = clock_of(world, 100)
    assert clock.now() == 1000
    world.real += 30
    assert clock.now() == 1000
    world.head = 1001
    world.real += 0.25
    assert clock.now() == 1001
    world.real += 0.15
    assert clock.now_exact() == pytest.approx(1016)


def test_it_is_the_last_block_plus_elapsed_times_speed() -> None:
    world = World()
    clock = clock_of(world, 100)
    clock.now()
    world.real, world.head = world.real + 0.3, 1010
    assert clock.now() == 1010
    world.real += 0.15
    assert clock.now_exact() == pytest.approx(1025)
    world.real += 0.15
    world.head = 1040
    assert clock.now() == 1040


def test_a_clock_that_is_asked_rarely_does_not_lag_by_what_it_missed() -> None:
    """Blocks every half second, asked once a second just before the next one: a block's arrival is always seen late."""
    world = World()
    clock = clock_of(world, 100)
    lags = []
    for tick in range(1, 200):
        world.real, world.head = 50 + tick * 0.97, 1000 + 50 * int(tick * 0.97 / 0.5)
        lags.append(1000 + 100 * tick * 0.97 - clock.now_exact())
    assert max(lags[20:]) < 5, "tenths of a real second behind"
    assert min(lags) >= -1e-6, "ahead of the chain"


def test_a_chain_that_paused_is_followed_back_into_step() -> None:
    world = World()
    clock = clock_of(world, 100, ahead_s=2)
    for tick in range(10):
        world.real, world.head = 50 + tick * 0.25, 1000 + 25 * tick
        clock.now()
    world.real += 30  # no blocks for half a minute, then the chain goes on where it was
    for tick in range(10, 40):
        world.real, world.head = world.real + 0.25, 1000 + 25 * tick
        clock.now()
    assert clock.now() <= 1000 + 25 * 39 + 25


def test_it_asks_at_most_every_fifth_of_a_second() -> None:
    world = World()
    clock = clock_of(world, 100)
    for _ in range(40):
        clock.now()
        world.real += 0.0625
    assert world.asked == 10


def test_it_waits_for_a_chain_that_restarted_a_second_back() -> None:
    world = World()
    clock = clock_of(world, 100)
    clock.now()
    world.real, world.head = world.real + 1, 1100
    assert clock.now() == 1100
    world.real, world.head = world.real + 0.2, 1050
    assert clock.now() == 1100
    world.real += 0.4
    assert clock.now() == 1100
    world.real += 0.2
    assert clock.now() == 1110


def test_it_stops_when_blocks_stop() -> None:
    world = World()
    clock = clock_of(world, 100, ahead_s=2)
    clock.now()
    world.head, world.real = 1010, world.real + 0.3
    clock.now()
    world.head, world.real = None, world.real + 60
    assert clock.now() == 1210
    world.head, world.real = 1230, world.real + 60
    assert clock.now() == 1230


def test_it_knows_no_time_before_the_first_answer() -> None:
    world = World()
    world.head = None
    clock = clock_of(world, 100)
    with pytest.raises(RpcUnreachable):
        clock.now()
    world.head = 7
    assert clock.now() == 7
