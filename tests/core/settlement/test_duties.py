"""``tests/tables/duties.txt``, read and settled; and what else verifiers are paid, or not, for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from world import Device, Said, Verifier, account_of, book, dust, earned, head_of, minted, paid, seal_by, settled

from subak.core.canon.columns import columns_hash
from subak.core.canon.json import hash_json
from subak.core.nouns import Book, Bootstrap, Head, Seal, Settlement, State
from subak.core.settlement import epoch_root, verdict_tables

TABLE = Path(__file__).parents[2] / "tables" / "duties.txt"
DEVICES = (Device("a", payees={"ann's owner": 1}), Device("b"))
SAID = [Said("a", 1, [5]), Said("b", 1, [3])]


class Row(NamedTuple):
    name: str
    weight: str
    sealed: str
    head: str
    reveals: str
    pay: str


def _cases() -> dict[str, list[Row]]:
    cases: dict[str, list[Row]] = {}
    for line in TABLE.read_text().splitlines():
        row = line.partition("#")[0].split()
        if row and row[0] == "case":
            cases[name := " ".join(row[1:])] = []
        elif row:
            cases[name].append(Row(*row))
    return cases


def _seal(row: Row, first: Settlement) -> Seal:
    _, book_hash, verdicts = first.state.sealed.row(0)
    if row.sealed == "old":
        book_hash = bytes(32)
    return seal_by(row.name, book_hash, bytes(32) if row.sealed == "wrong" else verdicts, of="ann" if row.sealed == "copied" else "")


def _books(rows: Sequence[Row], budgets: Mapping[str, int]) -> list[Book]:
    verifiers = [Verifier(row.name, int(row.weight)) for row in rows if int(row.weight)]
    zero = book(DEVICES, verifiers=verifiers, heads=[head_of(row.name, 0) for row in rows if row.reveals != "late"])
    (first,) = settled([zero])
    seals = {row.name: _seal(row, first) for row in rows}
    heads: list[Head] = []
    for row in rows:
        heard = {"all": list(seals), "none": [], "absent": []}.get(row.head, row.head.split(","))
        if row.head != "absent":
            heads.append(head_of(row.name, 1, [seals[name] for name in heard], row.reveals != "no"))
    return [zero, book(DEVICES, SAID, epoch=1, budgets=budgets, verifiers=verifiers, heads=heads)]


@pytest.mark.parametrize("name", _cases())
def test_case(name: str) -> None:
    rows = _cases()[name]
    (_, found) = settled(_books(rows, {"verifiers": 1000}))
    assert paid(found.state) == {f"{row.name}'s owner": int(row.pay) for row in rows if int(row.pay)}
    assert minted(found.state) == found.summary.minted == sum(int(row.pay) for row in rows)
    assert dust(found.state) == {}


EVERYONE = _cases()["everyone does everything"]


def test_a_pool_that_is_not_there_pays_nothing() -> None:
    (_, found) = settled(_books(EVERYONE, {}))
    assert (paid(found.state), minted(found.state)) == ({}, 0)


def test_a_verifier_is_paid_beside_what_its_assets_earn_and_waits_for_nothing() -> None:
    zero, one = _books(EVERYONE, {"verifiers": 1000, "tick": 800})
    (_, found) = settled([zero, one])
    assert paid(found.state) == {"ann's owner": 500 + 500, "b's owner": 300, "bob's owner": 300, "cid's owner": 200}
    assert earned(found.state) == {"a": 500, "b": 300}
    waits = replace(one, policy=msgspec.structs.replace(one.policy, bootstrap=Bootstrap(escrow_epochs=3)))
    (_, found) = settled([zero, waits])
    assert paid(found.state) == {"ann's owner": 500, "bob's owner": 300, "cid's owner": 200}
    assert (minted(found.state), earned(found.state)) == (1800, {"a": 0, "b": 0})


def test_an_owner_of_two_signers_is_paid_for_both() -> None:
    verifiers = [Verifier("ann", 3, "max"), Verifier("bob", 4, "max"), Verifier("cid", 3)]
    zero = book(DEVICES, verifiers=verifiers, heads=[head_of(each.name, 0) for each in verifiers])
    _, book_hash, verdicts = settled([zero])[0].state.sealed.row(0)
    seals = [seal_by(each.name, book_hash, verdicts) for each in verifiers]
    heads = [head_of(each.name, 1, seals) for each in verifiers]
    one = book(DEVICES, epoch=1, budgets={"verifiers": 100}, verifiers=verifiers, heads=heads)
    assert paid(settled([zero, one])[1].state) == {"max": 70, "cid's owner": 30}


def test_the_state_hands_on_what_the_next_seals_and_reveals_must_fit() -> None:
    zero, one = _books(EVERYONE, {"verifiers": 1000})
    first, second = settled([zero, one])
    assert first.state.sealed.rows() == [(0, hash_json(zero.contents), first.verdicts_hash)]
    assert first.verdicts_hash == columns_hash({"0": first.verdicts})
    assert second.state.sealed.rows() == [(1, hash_json(one.contents), second.verdicts_hash)]
    assert first.state.commits.rows() == [(account_of(head.verifier.rstrip(b"\x01").decode()), head.commit) for head in zero.heads]
    assert second.state.commits["commit"].to_list() == [head.commit for head in one.heads]
    assert epoch_root([second], [one], first.tree.root, first.state_root).verdicts_hash == second.verdicts_hash
    both = epoch_root([first, second], [zero, one], bytes(32), State.genesis().root())
    assert both.verdicts_hash == columns_hash(verdict_tables([first, second]))


def test_a_seal_of_an_epoch_that_is_not_the_one_before_is_not_paid() -> None:
    zero, one = _books(EVERYONE, {"verifiers": 1000})
    later = replace(one, contents=msgspec.structs.replace(one.contents, epoch=2))
    (first,) = settled([zero])
    assert paid(settled([later], first.state)[0].state) == {}


def test_what_takes_up_no_weight_pays_nothing() -> None:
    zero, one = _books(EVERYONE, {"verifiers": 1000})
    empty = replace(one, snapshot=replace(one.snapshot, verifiers=one.snapshot.verifiers.clear()))
    (_, found) = settled([zero, empty])
    assert (paid(found.state), found.state.commits.rows()) == ({}, [])


def test_a_second_head_of_one_verifier_weighs_nothing_more() -> None:
    """Whoever opens such a Book is refused; should it ever stand, the last head speaks."""
    rows = _cases()["a seal that came too late for half of the weight"]
    zero, one = _books(rows, {"verifiers": 1000})
    twice = replace(one, heads=(*one.heads, *one.heads[2:]))
    assert settled([zero, twice])[1].state.accounts.equals(settled([zero, one])[1].state.accounts)
