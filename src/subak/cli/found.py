"""Commands of a founder: register assets, make a policy."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import typer

from subak.archive.store import FolderArchive, content_hash
from subak.archive.tables import write_limit_table
from subak.chain.accounts import Account
from subak.chain.contracts import Contract, Sender
from subak.chain.network_file import load_network
from subak.chain.rpc import Rpc
from subak.core.canon.ed25519 import KeyRefused, check_key
from subak.core.canon.ids import ED25519, asset_id
from subak.core.canon.json import encode
from subak.core.nouns import Address, Attestation, Bootstrap, Hash, KindPolicy, Policy
from subak.kinds.registry import installed, rules_hash

COLUMNS = ("owner", "curve", "key", "kind", "cell", "rated")
BATCH = 100


class TableRefused(ValueError):
    """A CSV of assets with a row that cannot be registered; the text names row, column and value."""


@dataclass(frozen=True)
class AssetRow:
    """One row of the table."""

    owner: bytes
    curve: int
    key: bytes
    kind: str
    cell: int
    rated: int

    @property
    def id(self) -> bytes:
        return asset_id(self.curve, self.key, self.owner)


def read_assets(path: Path) -> list[AssetRow]:
    """Every row, checked. Errors: TableRefused."""
    with open(path, newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise TableRefused(f"{path}: the columns are {reader.fieldnames}, they have to be {list(COLUMNS)}")
        rows = [_row(path, number, each) for number, each in enumerate(reader, 2)]
    seen: dict[bytes, int] = {}
    for number, row in enumerate(rows, 2):
        if row.id in seen:
            raise TableRefused(f"{path}: rows {seen[row.id]} and {number} are the same asset 0x{row.id.hex()}")
        seen[row.id] = number
    return rows


def run_assets_import(table: Path, network_file: Path, key: Path, dry_run: bool, json: bool) -> int:
    """Register every row that the chain does not know yet."""
    rows = read_assets(table)
    network = load_network(network_file)
    rpc = Rpc(network.nodes.rpc)
    assets = Contract("Assets", network.contracts.assets, rpc)
    from subak.chain.snapshot import read_events

    known = {
        bytes(event.values["asset"])
        for event in read_events(rpc, network.contracts, 0, rpc.block("latest").number)
        if event.name == "Registered"
    }
    new = [row for row in rows if row.id not in known]
    if not dry_run:
        sender = Sender(rpc, Account.load(key))
        with typer.progressbar(range(0, len(new), BATCH), label="registering", hidden=json) as steps:
            for at in steps:
                batch = [
                    (row.owner, row.curve, row.key, row.kind.encode().ljust(32, b"\0"), row.cell, row.rated) for row in new[at : at + BATCH]
                ]
                sender.send(assets, "registerMany", batch)
    result = {"rows": len(rows), "already_registered": len(rows) - len(new), "registered": 0 if dry_run else len(new)}
    if json:
        typer.echo(msgspec.json.encode({**result, "assets": ["0x" + row.id.hex() for row in new]}).decode())
    else:
        would = "would be registered" if dry_run else "registered"
        typer.echo(f"{len(rows)} rows: {len(new)} {would}, {len(rows) - len(new)} were registered before")
        for row in new:
            typer.echo(f"  0x{row.id.hex()}  {row.kind}  owner 0x{row.owner.hex()}")
    return 0


def run_policy_build(out: Path, assets: Path, issuer: str, first: str, last: str, escrow_epochs: int, late_epochs: int, json: bool) -> int:
    """Write policy and tables; print the hash."""
    from subak.kinds.energy.policy import build_clear_sky

    rows = read_assets(assets)
    begin, end = (datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC) for day in (first, last))
    end_unix_s = int((end + timedelta(days=1)).timestamp())
    sky = build_clear_sky(sorted({row.cell for row in rows if row.kind == "energy"}), int(begin.timestamp()), end_unix_s)
    archive = FolderArchive(out)
    rules = installed()["energy"].rules
    policy = Policy(
        version=1,
        late_epochs=late_epochs,
        kinds={
            "energy": KindPolicy(
                rules.version, Hash(rules_hash(rules)), dict(_energy_parameters()), {"clear_sky": Hash(write_limit_table(archive, sky))}
            )
        },
        bootstrap=Bootstrap(
            escrow_epochs, tuple(Attestation(_address(issuer), Hash(row.id), end_unix_s) for row in sorted(rows, key=lambda row: row.id))
        ),
    )
    raw = encode(policy)
    name = content_hash(raw).hex()
    archive.put(f"policy/{name}.json", raw)
    if json:
        typer.echo(msgspec.json.encode({"policy": "0x" + name, "tables": {"clear_sky": len(sky)}, "attested": len(rows)}).decode())
    else:
        typer.echo(f"policy 0x{name}: {len(rows)} assets attested, clear-sky table of {len(sky)} hours, in {out}")
    return 0


def _energy_parameters() -> dict[str, int]:
    from subak.kinds.energy.rules.schemas import PARAMETERS

    return dict(PARAMETERS)


def _row(path: Path, number: int, each: dict[str, str]) -> AssetRow:
    def refuse(column: str, why: str) -> TableRefused:
        return TableRefused(f"{path}: row {number}, {column} = {each[column]!r}: {why}")

    try:
        owner = _address(each["owner"])
    except ValueError as error:
        raise refuse("owner", str(error)) from None
    numbers = {}
    for column in ("curve", "cell", "rated"):
        try:
            numbers[column] = int(each[column], 0)
        except ValueError:
            raise refuse(column, "not a whole number") from None
    try:
        key = bytes.fromhex(each["key"].removeprefix("0x"))
        if numbers["curve"] == ED25519:
            check_key(key)
    except (ValueError, KeyRefused) as error:
        raise refuse("key", str(error)) from None
    if each["kind"] not in installed():
        raise refuse("kind", f"no such kind is installed; there are {sorted(installed())}")
    return AssetRow(owner, numbers["curve"], key, each["kind"], numbers["cell"], numbers["rated"])


def _address(text: str) -> Address:
    raw = bytes.fromhex(text.removeprefix("0x"))
    if len(raw) != 20:
        raise ValueError(f"an address has 20 bytes, this has {len(raw)}")
    return Address(raw)
