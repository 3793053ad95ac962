"""Members replace the Settlement while a range waits for its window: nothing that was final is lost or paid again, nothing that waited is
lost, everyone is told, and one command brings a file up to date."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import msgspec
import polars as pl
import pytest
from succession_world import CLOCK, DAY_S, HOUR_S, WATCHER, Home, World, open_world, served

from subak.archive.books import read_state
from subak.archive.store import HttpArchive
from subak.chain.channels import Erc20
from subak.chain.network_file import load_network
from subak.chain.settlement import Phase
from subak.chain.snapshot import Finalised, Follower
from subak.chain.succession import SuccessionRefused, lineage
from subak.cli.succeeding import KeepingUp
from subak.core.nouns import Contracts, Hash, Network, State, decode
from subak.core.settlement.money import to_ints
from subak.explorer.app import make_app
from subak.explorer.earnings import account_earnings
from subak.explorer.following import Following
from subak.explorer.statements import in_words, statement
from subak.lab.recording import june_2017
from subak.verifier.checking import check
from subak.verifier.omission import LISTED, Promise, prove
from subak.verifier.watching import Told, Watcher


@dataclass
class Story:
    """What the tests of this module live through, one after another."""

    world: World
    old: Network = field(init=False)
    next: Contracts = field(init=False)
    explorer: Following = field(init=False)
    told: list[Told] = field(default_factory=list)
    promises: dict[Home, Promise] = field(default_factory=dict)
    void_books: tuple[Hash, ...] = ()
    void_state: State = field(init=False)

    def follower(self, network: Network) -> Follower:
        return Follower(self.world.rpc, network.contracts, network.clock)

    def watcher(self) -> Watcher:
        """The one watcher, from its one folder, as it is begun now."""
        world = self.world
        network = decode(world.archive.get("network.json"), Network)
        return Watcher(network, world.folder / "watch", WATCHER, world.rpc, [world.archive], say=self.told.append)

    def heard(self) -> list[str]:
        return [each.event for each in self.told]

    def state(self, final: Finalised) -> State:
        return read_state(self.world.archive, final.state_root)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    world = open_world(tmp_path_factory.mktemp("succession"))
    story = Story(world)
    try:
        yield story
        story.explorer.stop()
    finally:
        world.close()


def test_a_range_waits_when_the_new_one_may_take_over(story: Story) -> None:
    world = story.world
    story.old = world.network
    world.go_to(CLOCK.first_unix_s(0) + DAY_S)
    story.next = world.deploy_next()
    replaceable = world.announce(story.next)
    assert CLOCK.close_unix_s(3) < replaceable - 5 * HOUR_S < CLOCK.end_unix_s(4)
    world.go_to(CLOCK.end_unix_s(0))
    story.promises = world.say(0)
    assert [each.message.count for each in story.promises.values()] == [11] * 3
    world.go_to(CLOCK.close_unix_s(0))
    world.settle()
    world.go_to(CLOCK.end_unix_s(1))
    world.say(1)
    world.go_to(CLOCK.close_unix_s(1))
    world.tick()
    world.settle(Phase.PENDING)
    world.go_to(CLOCK.end_unix_s(2))
    world.say(2)
    world.go_to(CLOCK.close_unix_s(2))
    world.service.closing.tick(world.now, served=False)
    (listed,) = world.books(1, 1, story.follower(story.old).books_of(1))
    head = world.service.closing.journal.head(2)
    assert head is not None
    assert {ref.sha for ref in listed.segments} < {ref.sha for ref in head.segments}, "epoch 1 is not final yet"

    with pytest.raises(SuccessionRefused, match=r"can take over in \d+ hours"):
        world.door("network", "succeed", "--network", world.file, "--key", world.key(2000))
    told = world.door("network", "follow", "--network", world.file)
    said = world.words("network", "follow", "--network", world.file)
    assert re.fullmatch(rf"{re.escape(str(world.file))} is up to date\n0x\w+ is announced and can take over in \d+ hours of .*\n", said)
    assert told == {"changed": False, "announced": "0x" + story.next.settlement.hex(), "replaceable_unix_s": replaceable}

    world.go_to(replaceable - 5 * HOUR_S)
    world.settle(Phase.PENDING)
    opened = world.view().opened
    assert opened is not None
    assert (opened.first, opened.last, opened.attempt) == (2, 3, 0), "the new one will count its attempts from 0 too"
    story.void_books = story.follower(story.old).opened_books(2, opened.attempt)
    assert story.watcher().tick()
    assert {"settled", "same"} <= set(story.heard())
    story.explorer = Following(world.rpc.url, f"{world.url}/archive", world.folder / "explorer.sqlite")
    assert story.explorer.look() == 2
    world.go_to(replaceable)


def test_anyone_carries_it_out_and_everyone_is_told(story: Story) -> None:
    world = story.world
    (pending,) = world.service.closing._settled.values()
    story.void_state = pending.settlements[-1].state
    assert world.service.look()
    told = world.door("network", "succeed", "--network", world.file, "--key", world.key(2000))
    assert (told["settlement"], told["first_epoch"]) == ("0x" + story.next.settlement.hex(), 2)
    assert [step.partition(" ")[0] for step in told["steps"]] == ["Channels", "Stake", "Minter", told["settlement"]]
    with pytest.raises(SuccessionRefused, match="there is nothing to do"):
        world.door("network", "succeed", "--network", world.file, "--key", world.key(2000))

    assert world.view(story.old.contracts).phase is Phase.REJECTED
    assert not world.service.look()
    behind = world.service.status()["behind"]
    assert told["settlement"] in behind
    assert "\n" not in behind
    assert "`subak network follow --network network.toml`" in behind
    world.tick()
    assert world.view(story.old.contracts).phase is Phase.REJECTED, "nothing is opened where nothing can become final"
    assert told["settlement"] in KeepingUp(story.old, world.file).look(), "hosts and customers"
    watcher = Watcher(story.old, world.folder / "watch", WATCHER, world.rpc, [world.archive], say=story.told.append)
    watcher.tick()
    assert story.heard()[-1] == "succeeded"


def test_one_command_brings_the_file_up_to_date(story: Story) -> None:
    world = story.world
    before = world.file.read_bytes()
    dry = world.door("network", "follow", "--network", world.file, "--dry-run")
    assert (dry["changed"], world.file.read_bytes()) == (False, before)
    said = world.words("network", "follow", "--network", world.file, "--dry-run").splitlines()
    assert said[0] == f"settlement: 0x{story.old.contracts.settlement.hex()} → 0x{story.next.settlement.hex()}"
    assert said[-1] == "nothing was written"
    told = world.door("network", "follow", "--network", world.file)
    assert told["changes"] == dry["changes"]
    assert {each["name"] for each in told["changes"]} == {"settlement", "challenges", "challenge_seconds"}
    new = world.network
    assert new == msgspec.structs.replace(
        story.old, contracts=story.next, clock=msgspec.structs.replace(CLOCK, challenge_seconds=7 * HOUR_S)
    )
    kept = world.folder / "network-until-2.toml"
    assert told["kept"] == str(kept)
    assert (load_network(kept), kept.read_bytes()) == (story.old, before)
    assert lineage(world.rpc, new.contracts) == [story.old.contracts, story.next]
    assert KeepingUp(new, world.file).look() == ""
    assert world.door("network", "follow", "--network", world.file)["changed"] is False


def test_what_waited_is_listed_and_paid_once_and_what_was_final_never_again(story: Story) -> None:
    world = story.world
    # The archive still names the old Settlement: whoever reads finds the new one on the chain.
    assert check(1, HttpArchive(f"{world.url}/archive"), world.rpc).passed
    world.stop()
    world.start()
    assert decode(world.archive.get("network.json"), Network) == world.network
    world.settle(Phase.OPEN)
    follower, was = story.follower(world.network), story.follower(story.old)
    books = follower.opened_books(2, 0)
    assert books == story.void_books, "the same Entries, and the same facts of the chain"
    assert follower.beacon(2) == was.beacon(2) != (bytes(32), bytes(32))
    assert follower.beacon(4) == was.beacon(4) != (bytes(32), bytes(32)), "devices were asked by the first opening, which is void"
    earlier = [book for final in was.finalised() for book in world.books(final.first, final.last, final.book_hashes)]
    paid = {ref.sha for book in earlier for ref in book.segments}
    again = {ref.sha for book in world.books(2, 3, books) for ref in book.segments}
    assert paid
    assert again
    assert not paid & again

    world.settle(Phase.PENDING)
    story.told.clear()
    assert story.watcher().tick()
    assert story.heard() == ["settled", "same"]
    world.settle()
    final = follower.finalised()[-1]
    now, then = story.state(final), story.state(was.finalised()[-1])
    counted = ("asset", "live", "units", "paid_epochs")
    assert now.assets.select(counted).equals(story.void_state.assets.select(counted)), "as the void range counted them"
    void, before, mine = (sum(to_ints(state.assets["rewards"])) for state in (story.void_state, then, now))
    dust = sum(to_ints(then.pools["dust"]))
    assert 0 <= void - mine <= dust < 10, "what division left over stays behind"
    assert sum(to_ints(now.accounts["rewards"])) == mine - before > 10**18
    assert sum(to_ints(now.pools["dust"])) + mine - before == final.rewards
    units = dict(now.assets.select("asset", "units").iter_rows())
    for home in world.homes:
        end, start = (june_2017().counters_at(home.number, at).export_wh for at in (world.recorded_until, CLOCK.genesis_unix_s))
        assert units[home.asset] == end - start, "every recorded hour is paid once"
    assert follower.history() == [*was.finalised(), final]


def test_old_and_new_epochs_are_checked_and_claimed(story: Story) -> None:
    world = story.world
    archive = HttpArchive(f"{world.url}/archive")
    results = [check(epoch, archive, world.rpc) for epoch in range(4)]
    assert [each.passed for each in results] == [True] * 4, [each.words() for each in results]
    settlements = ["0x" + each.settlement.hex() for each in (story.old.contracts, story.next)]
    assert [each.settlement for each in results] == [settlements[0]] * 2 + [settlements[1]] * 2
    found = [prove(each, world.network, archive, world.rpc).status for each in story.promises.values()]
    assert found == [LISTED] * 3, "an acknowledgement names the Settlement under which it was given"

    home = world.homes[0]
    token = Erc20(world.rpc, world.network.contracts.token)
    told = in_words(statement(home.asset, archive, world.rpc))
    assert f"can be claimed in the Settlement before epoch 2, {settlements[0]}." in told
    who = ("0x" + home.owner.address.hex(), "--archive", f"{world.url}/archive", "--rpc", world.rpc.url, "--key", world.key(2000))
    claimed = world.door("claim", *who)
    states = [story.state(each) for each in story.follower(world.network).history()[-2:]]
    owed = [dict(state.accounts.select("account", pl.col("rewards").cast(pl.Int128)).iter_rows())[home.owner.address] for state in states]
    assert [claimed["earlier"][0]["rewards"]["paid"], claimed["rewards"]["paid"]] == [str(each) for each in owed]
    assert claimed["earlier"][0]["settlement"] == settlements[0]
    assert token.balance(home.owner.address) == sum(owed)
    assert min(owed) > 0
    assert world.door("claim", *who)["earlier"][0]["rewards"]["paid"] == "0"
    assert account_earnings(home.owner.address, 2017, archive, world.rpc).totals == {"rewards": sum(owed), "fees": 0}
    assert "can be claimed in the Settlement before" not in in_words(statement(home.asset, archive, world.rpc))


def test_the_page_goes_on_with_what_was_taken_over(story: Story) -> None:
    world, explorer = story.world, story.explorer
    earned = explorer.ledger.totals()
    assert explorer.look() == 1
    assert explorer.look() == 0
    finals = story.follower(world.network).history()
    rows = sorted(explorer.ledger.epochs().rows, key=lambda row: row["epoch"])
    assert [row["epoch"] for row in rows] == [0, 1, 2, 3]
    assert [row["settlement"] for row in rows] == ["0x" + finals[at].settlement.hex() for at in (0, 1, 2, 2)]
    last, before = finals[-1], finals[-2]
    totals = explorer.ledger.totals()
    assert (int(rows[3]["minted"]), int(totals["minted"])) == (last.rewards, before.rewards + last.rewards)
    assert int(totals["paid"]) == int(earned["paid"]) + int(rows[3]["paid"]) > int(earned["paid"]) > 0
    for home in world.homes:
        account = explorer.ledger.account("0x" + home.owner.address.hex())
        assert account is not None
        states = [story.state(each) for each in (before, last)]
        totals_of = [dict(state.accounts.select("account", pl.col("rewards").cast(pl.Int128)).iter_rows()) for state in states]
        owed = [each[bytes(home.owner.address)] for each in totals_of]
        assert [int(each["rewards"]) for each in account["earlier"]] == owed[:1]
        assert int(account["rewards"]) == owed[1]
        facts = explorer.ledger.asset_facts("0x" + home.asset.hex(), 60)
        assert facts is not None
        assert int(facts.asset["rewards"]) == sum(owed)
        assert sum(int(each["rewards"] or 0) for each in facts.epochs) == sum(owed), "growth begins where the old one ended"

    app = make_app(world.rpc.url, f"{world.url}/archive", world.folder / "explorer.sqlite")
    claimed, unclaimed = ("0x" + home.owner.address.hex() for home in world.homes)
    with served(app) as url:
        (kept,) = httpx.get(f"{url}/accounts/{unclaimed}.json").json()["account"]["earlier"]
        assert (kept["settlement"], kept["taken"], kept["left"]) == ("0x" + story.old.contracts.settlement.hex(), "0", kept["rewards"])
        assert "In the Settlement before epoch 2, " in httpx.get(f"{url}/accounts/{unclaimed}").text
        assert httpx.get(f"{url}/accounts/{claimed}.json").json()["account"]["earlier"][0]["left"] == "0"
    app.state.following.stop()

    fresh = Following(world.rpc.url, f"{world.url}/archive", world.folder / "fresh.sqlite")
    assert fresh.look() == 3
    assert fresh.ledger.epochs().rows == explorer.ledger.epochs().rows
    assert fresh.ledger.accounts().rows == explorer.ledger.accounts().rows
    assert fresh.ledger.totals() == explorer.ledger.totals()

    gone = explorer.ledger.account("0x" + world.gone.owner.address.hex())
    assert gone is not None
    assert (gone["rewards"], int(gone["earlier"][0]["rewards"]) > 0) == ("0", True), "what it earned is where it earned it"
    owner = "0x" + world.homes[0].owner.address.hex()
    whole = fresh.ledger.account(owner)
    assert whole is not None
    # The chain took the new Settlement's first range back, and made it final once more.
    assert fresh.ledger.take(world.network, world.archive, finals[:2]) == 1
    back = fresh.ledger.account(owner)
    assert back is not None
    assert (back["earlier"], back["rewards"]) == ([], whole["earlier"][0]["rewards"])
    assert fresh.ledger.totals() == earned
    assert fresh.ledger.take(world.network, world.archive, finals) == 1
    assert fresh.ledger.account(owner) == whole
    fresh.stop()


def test_the_next_epoch_follows_as_if_nothing_had_happened(story: Story) -> None:
    world = story.world
    world.go_to(CLOCK.close_unix_s(4))
    world.tick()
    world.settle()
    assert world.view().next_epoch == 5
    assert check(4, HttpArchive(f"{world.url}/archive"), world.rpc).passed
    (book,) = world.books(4, 4, story.follower(world.network).finalised()[-1].book_hashes)
    assert book.previous == story.void_books[-1]
    assert any(book.beacon)
