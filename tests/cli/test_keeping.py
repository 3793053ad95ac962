"""Files through the door, on a network that lives: stored, verified, fetched, paid for, removed; disks that are rented out by a command."""

from __future__ import annotations

import csv
import os
from fractions import Fraction
from pathlib import Path

import pytest

from subak.chain.channels import Erc20
from subak.chain.contracts import Sender
from subak.cli.storing import Offered, Wanted, cheapest
from subak.core.nouns import Hash
from subak.kinds.storage.customer import Code, TooFewHosts
from subak.lab.customers import offering

from .paper import CELL, DOLLAR, TOKEN, Done, door, key_file
from .small import CUSTOMER, EPOCH_HOURS, ONE_OWNER, SIZE, Small, eventually

FILE_BYTES = 700_000
PIECE_KIB = 256


@pytest.fixture(scope="module")
def house(small: Small) -> Path:
    """A customer's folder: a wallet with 50 TUSD in its channel and a lane of 20."""
    folder = small.folder / "customer"
    account = door("wallet", "create", "--network", small.file, "--wallet", folder / "wallet", "--json").json()["account"]
    small.chain.fund(bytes.fromhex(account[2:]), TOKEN)
    Erc20(small.rpc, small.network.contracts.payment).transfer(Sender(small.rpc, CUSTOMER), bytes.fromhex(account[2:]), 50 * DOLLAR)
    no_lane = ask(small, folder, "ls-less", "store", "put", small.file)
    assert (no_lane.code, "no lane is open that could pay hosts: `subak lane open` opens one" in no_lane.err) == (1, True)
    for words in (("channel", "deposit", "50"), ("lane", "open", "--limit", "20")):
        door(*words, "--network", small.file, "--wallet", folder / "wallet", "--json").json()
    return folder


def ask(small: Small, house: Path, _why: str, *words: object) -> Done:
    return door(*words, "--network", small.file, "--wallet", house / "wallet", "--folder", house / "storage")


def test_a_file_lives_and_is_paid_for(small: Small, house: Path, tmp_path: Path) -> None:
    file = tmp_path / "letters.tar"
    file.write_bytes(os.urandom(FILE_BYTES))
    assert "nothing was ever stored" in ask(small, house, "first", "store", "get", "letters").err
    many = ask(small, house, "ten hosts", "store", "put", file)
    assert many.code == 1
    assert "3 of 3 hosts on offer can keep this file now, and 4 of 10 takes 10" in many.err
    assert "--needed 1 --hosts 3" in many.err

    stored = ask(small, house, "put", "store", "put", file, "--name", "letters", "--needed", 2, "--hosts", 3, "--json").json()
    segments = -(-FILE_BYTES // (2 * PIECE_KIB * 1024 - 16))
    assert (stored["size_bytes"], stored["kib_per_host"], len(stored["hosts"])) == (FILE_BYTES, segments * PIECE_KIB, 3)
    gib_month = (1 << 20) * 720
    a_day = sum(segments * PIECE_KIB * 24 * price * DOLLAR // gib_month for price in (3, 4, 5))
    assert stored["price_a_day"]["base_units"] == str(a_day)
    taken = ask(small, house, "again", "store", "put", file, "--name", "letters", "--needed", 2, "--hosts", 3)
    assert (taken.code, "'letters' is stored already" in taken.err) == (1, True)
    listed = door("store", "ls", "--folder", house / "storage", "--json").json()["files"]
    assert [(each["name"], each["needed"]) for each in listed] == [("letters", 2)]

    out = tmp_path / "back.tar"
    fetched = ask(small, house, "get", "store", "get", "letters", "--out", out, "--json").json()
    assert (fetched["size_bytes"], fetched["faults"], out.read_bytes() == file.read_bytes()) == (FILE_BYTES, [], True)
    assert "there is no file named 'diary'" in ask(small, house, "get", "store", "get", "diary", "--out", out).err

    config = house / "customer.toml"
    config.write_text(f'clerk = "{small.verifier}"\nlimit = {5 * DOLLAR}\nbudget = {20 * DOLLAR}\n[storage]\nfolder = "storage"\n')
    assert door("customer", "--network", small.file, "--config", config, "--once").code == 0
    eventually(lambda: ask(small, house, "verify", "store", "verify", "letters").code == 0)
    proven = ask(small, house, "verify", "store", "verify", "letters", "--json").json()
    assert (proven["proven_hosts"], proven["needed"]) == (3, 2)
    assert {each["proven_kib"] for each in proven["hosts"]} == {segments * PIECE_KIB}

    loop = small.start("customer", "customer", "--config", config, "--json")
    eventually(lambda: any(each["settled"] for each in loop.heard("look")))
    bill = door("bill", "--network", small.file, "--wallet", house / "wallet", "--json").json()
    billed = {each["asset"]: each for each in bill["lines"]}
    assert set(billed) <= set(stored["hosts"])
    for each in billed.values():
        assert each["units"] == segments * PIECE_KIB * EPOCH_HOURS
        assert int(each["money"]["base_units"]) == each["units"] * int(each["price"]["base_units"]) // each["per_units"]
    assert int(bill["paid"]["base_units"]) > 0
    table = list(csv.DictReader(door("bill", "--network", small.file, "--wallet", house / "wallet", "--csv").out.splitlines()))
    assert {row["kind"] for row in table} == {"storage"}
    assert loop.stop() == 0

    removed = ask(small, house, "rm", "store", "rm", "letters", "--json").json()
    assert removed["faults"] == []
    assert door("store", "ls", "--folder", house / "storage").out == "nothing is stored\n"


def test_the_towns_customer_waits_until_every_disk_is_on_offer(small: Small) -> None:
    assert len({host.asset for host in offering(small.verifier, 3)}) == 3
    with pytest.raises(TooFewHosts, match="3 of 4 disks are on offer"):
        offering(small.verifier, 4)


def test_a_host_that_is_down_is_passed_over(small: Small, house: Path, tmp_path: Path) -> None:
    """The cheapest disk does not answer: another one is taken, and nothing is sent twice."""
    file = tmp_path / "note.txt"
    file.write_text("a note")
    assert small.running["disk 0"].stop() == 0
    stored = ask(small, house, "put", "store", "put", file, "--needed", 1, "--hosts", 2, "--json").json()
    offers = {each["asset"]: each for each in small.offers()}
    assert sorted(int(offers[host]["price"]) for host in stored["hosts"]) == [4 * DOLLAR, 5 * DOLLAR]
    small.running["disk 1"].stop()
    fetched = ask(small, house, "get", "store", "get", "note.txt", "--out", tmp_path / "back.txt")
    assert (fetched.code, (tmp_path / "back.txt").read_text()) == (0, "a note")
    one = ask(small, house, "put", "store", "put", file, "--name", "other", "--needed", 1, "--hosts", 3)
    assert (one.code, "1 of 3 hosts on offer can keep this file now" in one.err) == (1, True)
    partly = ask(small, house, "verify", "store", "verify", "note.txt")
    assert partly.code == 1
    assert "is unreachable" in partly.out
    for number in (0, 1):
        # Again with fewer words: host.toml knows the rest.
        started = small.start(f"disk {number}", "host", "storage", "--path", small.disk(number), "--json")
        eventually(lambda: bool(started.heard("starting")))  # noqa: B023


def test_a_statement_of_an_asset_is_told_as_before(small: Small) -> None:
    asset = small.running["disk 2"].heard("starting")[0]["asset"]
    told = door("statement", asset, "--archive", f"{small.verifier}/archive", "--rpc", small.network.nodes.rpc, "--json").json()
    assert (told["asset"], told["kind"], told["live"]) == (asset, "storage", True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--path", "{new}"), "there is no {new}/host.toml yet: name --size and --owner, and it is written"),
        (("--path", "{new}", "--size", "16MiB", "--owner", "0x12"), "--owner is '0x12': write 0x and 40 hex digits"),
        (("--path", "{new}", "--size", "16", "--owner", "{owner}", "--listen", "127.0.0.1:0"), "127.0.0.1:0, which nobody can call"),
        (
            ("--path", "{new}", "--size", "16", "--owner", "{owner}", "--listen", "127.0.0.1:7"),
            "size is '16': it takes a whole number and one of",
        ),
        (("--path", "{new}", "--size", "1MiB", "--owner", "{owner}"), "0.0.0.0:7460, which nobody can call: say where customers reach it"),
        (
            ("--path", "{new}", "--size", "1MiB", "--owner", "{owner}", "--listen", "127.0.0.1:7"),
            "`subak assets register --network … --key … --key-file {new}/device.key --owner {owner} --kind storage --rated 1024 --cell …`",
        ),
        (("--path", "{old}", "--size", "17MiB"), "host.toml says 16MiB, and --size 17MiB: change the file, or leave the option away"),
        (("--path", "{old}", "--price", "3.5"), "host.toml says 5000000, and --price 3.5"),
    ],
)
def test_a_host_that_cannot_begin_says_why(small: Small, tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    names = {"new": tmp_path / "disk", "old": small.disk(2), "owner": "0x" + ONE_OWNER.address.hex()}
    done = door("host", "storage", "--network", small.file, *(option.format(**names) for option in options))
    assert done.code == 1
    assert words.format(**names) in done.err
    assert "\n" not in done.err


def test_a_disk_larger_than_it_is_registered_for_does_not_begin(small: Small, tmp_path: Path) -> None:
    owner, path = ONE_OWNER, tmp_path / "disk"
    door(
        *("assets", "register", "--network", small.file, "--key", key_file(small.folder, owner), "--key-file", path / "device.key"),
        *("--kind", "storage", "--cell", CELL, "--rated", 1024, "--json"),
    ).json()
    options = ("--path", path, "--size", SIZE, "--owner", "0x" + owner.address.hex(), "--listen", "127.0.0.1:7")
    done = door("host", "storage", "--network", small.file, *options)
    assert (done.code, "is registered as storage of 1,024, and 16MiB are 16,384 KiB: keep a smaller size" in done.err) == (1, True)


def test_a_host_file_that_is_wrong_is_named(small: Small, tmp_path: Path) -> None:
    config = tmp_path / "host.toml"
    config.write_text('outbox = "outbox.sqlite"\n[[devices]]\nasset = "0x12"\n')
    done = door("host", "--network", small.file, "--config", config)
    assert (done.code, f"{config}: " in done.err, "`$.devices[0].asset`" in done.err) == (1, True, True)


CHOICES = """
# host  owner  price/units  capacity  endpoint    count, KiB, most      chosen
  a     ann    3/10         100       http://a
  b     ann    1/10         100       http://b
  c     bob    2/10         100       http://c
  d     cyd    9/10         100       http://d
  e     dan    1/100        9         http://e
  f     eve    1/100        100       -
  g     -      1/100        100       http://g
                                                  2 10 -                b c
                                                  3 10 -                b c d
                                                  4 10 -                b c a d
                                                  9 10 -                b c a d
                                                  3 10 3/10             b c a
                                                  3 9 -                 e b c
                                                  1 101 -
"""


def test_hosts_are_chosen_by_price_from_different_owners() -> None:
    offers, owners, asked = [], {}, 0
    for line in CHOICES.splitlines():
        row = line.partition("#")[0].split()
        if len(row) > 2 and "/" in row[2] and row[0].isalpha():
            name, owner, price, capacity, endpoint = row
            asset = Hash(name.encode() * 32)
            money, _, units = price.partition("/")
            offers.append(Offered(asset, int(money), int(units), int(capacity), endpoint.strip("-")))
            if owner != "-":
                owners[bytes(asset)] = owner.encode()
        elif row:
            count, kib, most, *wanted = row
            found = cheapest(offers, owners, Wanted(Code(1, int(count)), int(kib), None if most == "-" else Fraction(most)))
            assert [chr(each.asset[0]) for each in found] == wanted, line
            asked += 1
    assert asked == 7
