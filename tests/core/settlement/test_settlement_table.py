"""``tests/tables/settlement.txt``, read and settled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from world import NETWORK, TICK, TOCK, Device, Said, account_of, asset_of, book, settled

from subak.core.canon.segment import signed_rows
from subak.core.settlement import OFFER, POSSESSION, reason_table

TABLE = Path(__file__).parents[2] / "tables" / "settlement.txt"
KINDS = {"tick": TICK, "tock": TOCK}
SCHEMAS = {"possession": POSSESSION, "offer": OFFER, "reading": TICK.schemas[0], "tock.reading": TOCK.schemas[0]}
DEVICES = (Device("sun"), Device("moon"), Device("new", held=False), Device("wire", kind="tock"))
EPOCH, LATE_EPOCHS = 10, 2


def _cases() -> dict[str, list[list[str]]]:
    cases: dict[str, list[list[str]]] = {}
    for line in TABLE.read_text().splitlines():
        row = line.partition("#")[0].split()
        if row and row[0] == "case":
            cases[name := " ".join(row[1:])] = []
        elif row:
            cases[name].append(row)
    return cases


def _said(row: list[str]) -> Said:
    schema, asset, sequence, signature, hour, values, _ = row
    rows: list[Any] = [int(value) for value in values.split(",")] if schema != "possession" else [account_of(values.replace("_", " "))]
    rows = [(1, per_units, 1, 1, bytes(128)) for per_units in rows] if schema == "offer" else rows
    interval_s = 0 if schema in ("possession", "offer") else 3600
    return Said(asset, int(sequence), rows, int(hour), interval_s, SCHEMAS[schema], valid=None, key="" if signature == "own" else "other")


def _listed(rows: list[list[str]]) -> Iterator[tuple[str, list[str]]]:
    """Asset and verdict of each row's lines, copies left out."""
    return ((row[1], row[6].split(",")) for row in rows if row[6] != "-")


@pytest.mark.parametrize("name", _cases())
def test_case(name: str) -> None:
    rows = _cases()[name]
    names = {key: reason.name for key, reason in reason_table(KINDS.values()).items()}
    live = settled([book(DEVICES, epoch=EPOCH - 1, kinds=KINDS)], kinds=KINDS)[0].state
    quiet = [Device(each.name, kind=each.kind, held=False) for each in DEVICES]
    (found,) = settled([book(quiet, [_said(row) for row in rows], epoch=EPOCH, late_epochs=LATE_EPOCHS, kinds=KINDS)], live, KINDS)
    got = [
        (asset, [names.get(("", code)) or names[schema.split(".")[0], code] for code in codes])
        for asset, schema, codes in found.verdicts.select("asset", "schema", "reasons").iter_rows()
    ]
    assert got == [(asset_of(asset), reasons) for asset, reasons in _listed(rows)]


def test_every_reason_of_the_core_has_a_case() -> None:
    given = {reason for rows in _cases().values() for _, reasons in _listed(rows) for reason in reasons}
    wanted = {reason.name for (kind, _), reason in reason_table([]).items() if kind == ""}
    assert wanted - given == {"too_many_lines", "not_attested"}, "those have tests of their own: 4,097 lines, a policy that requires"


def test_the_table_signs_for_real() -> None:
    said = book(DEVICES, [_said(["reading", "sun", "1", "own", "0", "5", "accepted"])], kinds=KINDS)
    assert len(signed_rows(said.entries["tick.reading"], SCHEMAS["reading"], NETWORK)[0]) == 112 + 8
    assert said.entries["tick.reading"]["valid"].to_list() == [True]
