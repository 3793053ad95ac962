"""What a founder does: register assets, make a policy."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import typer

from subak.archive.store import FolderArchive, content_hash
from subak.archive.tables import write_limit_table
from subak.chain.accounts import Account
from subak.chain.contracts import ChainRefused, Contract, Sender
from subak.chain.deploy import word_of
from subak.chain.network_file import load_network
from subak.chain.rpc import Rpc
from subak.cli.units import DAY_S, NotReadable, address, day_start, hexed, tell
from subak.core.canon.ids import KEY_BYTES, P256, asset_id
from subak.core.canon.json import encode
from subak.core.canon.signatures import check_key
from subak.core.kind import Rules
from subak.core.nouns import Address, Bootstrap, Hash, KindPolicy, Policy, Requirement, Usage
from subak.kinds.registry import installed, rules_hash

COLUMNS = ("owner", "curve", "key", "kind", "cell", "rated")
BATCH = 100
CLEAR_SKY = "clear_sky"
_SUBJECTS = ("asset", "owner")
_U64 = 1 << 64


class TableRefused(ValueError):
    """A CSV of assets with a row that cannot be registered; the text names row, column and value."""


class CannotBuild(ValueError):
    """A policy that cannot be made of what was said; the text names what is missing or disagrees."""


@dataclass(frozen=True)
class AssetRow:
    """One row of the table."""

    owner: bytes
    """Account that holds it, 20 bytes."""
    curve: int
    """Curve byte of its device's key."""
    key: bytes
    """The device's public key."""
    kind: str
    """What it is."""
    cell: int
    """H3 cell of its place."""
    rated: int
    """Rated capacity in the kind's unit."""

    @property
    def id(self) -> bytes:
        """Its asset id."""
        return asset_id(self.curve, self.key, self.owner)

    @property
    def registration(self) -> tuple[object, ...]:
        """Solidity's struct Registration."""
        return (self.owner, self.curve, self.key, word_of(self.kind), self.cell, self.rated)


@dataclass(frozen=True)
class Wishes:
    """What a founder wants of a policy, as on the command line."""

    kinds: str
    """Names of kinds, with commas."""
    first: str
    """First day that limit tables cover."""
    last: str
    """Last day, included."""
    cells: str
    """H3 cells that limit tables cover, hex digits with commas."""
    assets: Path | None
    """CSV of assets whose cells they cover too."""
    parameters: str
    """kind.name=number with commas, in place of what the kinds' rules take by themselves."""
    requires: str
    """kind:topic:subject or kind:topic:subject:cell, with commas."""
    bootstrap: Bootstrap
    """What installed capacity earns before customers pay."""
    k_bps: int
    """See ``Usage``."""
    late_epochs: int
    """See ``Policy``."""


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
            raise TableRefused(f"{path}: rows {seen[row.id]} and {number} are the same asset {hexed(row.id)}")
        seen[row.id] = number
    return rows


def run_assets_import(table: Path, network_file: Path, key: Path, dry_run: bool, json: bool) -> int:
    """Register every row that the chain does not know yet."""
    rows = read_assets(table)
    network = load_network(network_file)
    rpc = Rpc(network.nodes.rpc)
    assets = Contract("Assets", network.contracts.assets, rpc)
    known = {bytes(event.values["asset"]) for event in assets.events(0, rpc.block("latest").number, ["Registered"])}
    new = [row for row in rows if row.id not in known]
    if not dry_run:
        sender = Sender(rpc, Account.load(key))
        with typer.progressbar(range(0, len(new), BATCH), label="registering", hidden=json) as steps:
            for at in steps:
                sender.send(assets, "registerMany", [row.registration for row in new[at : at + BATCH]])
    would = "would be registered" if dry_run else "registered"
    words = [f"{len(rows)} rows: {len(new)} {would}, {len(rows) - len(new)} were registered before"]
    words += [f"  {hexed(row.id)}  {row.kind}  owner {hexed(row.owner)}" for row in new]
    told = {"rows": len(rows), "already_registered": len(rows) - len(new), "registered": 0 if dry_run else len(new)}
    tell(json, {**told, "assets": [hexed(row.id) for row in new]}, "\n".join(words))
    return 0


def run_assets_register(
    network_file: Path, key: Path, key_file: Path, owner: str, kind: str, cell: str, rated: int, with_proof: bool, json: bool
) -> int:
    """Register the device of one key file; with ``with_proof`` the chain itself sees whose it is."""
    from subak.chain.registration import possession_proof
    from subak.host.keys import load_or_create

    network = load_network(network_file)
    rpc = Rpc(network.nodes.rpc)
    account = Account.load(key)
    if kind not in installed():
        raise NotReadable(f"the kind is {kind!r}; installed are {sorted(installed())}")
    holder = address(owner, "the owner") if owner else bytes(account.address)
    place = _cell(cell)
    device = load_or_create(key_file, P256 if with_proof else None)
    row = AssetRow(holder, device.curve, device.public, kind, place, rated)
    assets = Contract("Assets", network.contracts.assets, rpc)
    new = not is_registered(assets, row.id)
    if new:
        sender = Sender(rpc, account)
        if with_proof:
            proof = possession_proof(device, network.chain_id, network.contracts.assets, row.owner)
            sender.send(assets, "registerWithProof", row.registration, proof)
        else:
            sender.send(assets, "register", row.registration)
    proved = with_proof and new
    unit = installed()[kind].notes.get("rated", "")
    how = "registered" if new else "was registered before:"
    more = "; the chain has seen whose it is" if proved else ""
    words = f"{how} {hexed(row.id)}: {kind}, {rated:,} {unit}, owner {hexed(row.owner)}{more}"
    told = {"asset": hexed(row.id), "curve": row.curve, "key": hexed(row.key), "owner": hexed(row.owner)}
    tell(json, {**told, "registered": new, "proved": proved}, words)
    return 0


def is_registered(assets: Contract, asset: bytes) -> bool:
    """Whether anyone owns this asset. Errors: those of questions to the chain."""
    try:
        assets.call("ownerOf", int.from_bytes(asset, "big"))
    except ChainRefused:
        return False
    return True


def run_policy_build(out: Path, wishes: Wishes, json: bool) -> int:
    """Write policy and tables; print the hash."""
    archive = FolderArchive(out)
    names = _list(wishes.kinds)
    unknown = [name for name in names if name not in installed()]
    if unknown or not names or len(set(names)) < len(names):
        raise CannotBuild(
            f"--kinds is {wishes.kinds!r}: name each kind once, of those that are installed: {', '.join(sorted(installed()))}"
        )
    rules = {name: installed()[name].rules for name in sorted(names)}
    parameters, requirements = _parameters(wishes.parameters, rules), _requirements(wishes.requires, rules)
    tables = {name: _tables(rules[name], wishes) for name in rules}
    written = {name: {table: Hash(write_limit_table(archive, rows)) for table, rows in each.items()} for name, each in tables.items()}
    policy = Policy(
        version=1,
        late_epochs=wishes.late_epochs,
        kinds={
            name: KindPolicy(each.version, Hash(rules_hash(each)), parameters[name], written[name], requirements[name])
            for name, each in rules.items()
        },
        bootstrap=wishes.bootstrap,
        usage=Usage(wishes.k_bps),
    )
    raw = encode(policy)
    digest = content_hash(raw).hex()
    archive.put(f"policy/{digest}.json", raw)
    rows = {name: {table: len(frame) for table, frame in each.items()} for name, each in tables.items()}
    words = [f"policy 0x{digest} in {out}"]
    for name in rules:
        numbers = ", ".join(f"{key} {value:,}" for key, value in sorted(parameters[name].items()))
        sizes = "".join(f"; table {table} of {count:,} rows" for table, count in rows[name].items())
        needs = "".join(f"; {each.subject} needs {each.topic!r}" for each in requirements[name])
        words.append(f"  {name}: {numbers or 'no parameters'}{sizes}{needs}")
    tell(json, {"policy": "0x" + digest, "kinds": sorted(rules), "tables": rows}, "\n".join(words))
    return 0


def _tables(rules: Rules, wishes: Wishes) -> Mapping[str, pl.DataFrame]:
    """The limit tables that a kind asks for, by name."""
    if not rules.tables:
        return {}
    if rules.name != "energy" or set(rules.tables) != {CLEAR_SKY}:
        raise CannotBuild(f"{rules.name} asks for the limit tables {sorted(rules.tables)}, and nothing here makes them")
    from subak.kinds.energy.policy import build_clear_sky

    cells = {_cell(each) for each in _list(wishes.cells)}
    if wishes.assets is not None:
        cells |= {row.cell for row in read_assets(wishes.assets) if row.kind == rules.name}
    if not cells or not wishes.first or not wishes.last:
        lacking = [
            name for name, given in (("--cells or --assets", cells), ("--first", wishes.first), ("--last", wishes.last)) if not given
        ]
        raise CannotBuild(f"energy is limited by the sun, place by place and hour by hour: name {' and '.join(lacking)}")
    first, end = day_start(wishes.first, "--first"), day_start(wishes.last, "--last") + DAY_S
    if end <= first:
        raise CannotBuild(f"the last day {wishes.last} is before the first one {wishes.first}")
    return {CLEAR_SKY: build_clear_sky(sorted(cells), first, end)}


def _parameters(text: str, rules: Mapping[str, Rules]) -> dict[str, dict[str, int]]:
    """What each kind's rules take by themselves, and what was said in its place."""
    found = {name: dict(getattr(each, "parameters", {})) for name, each in rules.items()}
    for each in _list(text):
        path, _, number = each.partition("=")
        kind, _, name = path.partition(".")
        if kind not in rules or not name or not (number.isascii() and number.isdecimal()) or int(number) >= 1 << 63:
            raise CannotBuild(f"--parameters has {each!r}: write kind.name=number, of the kinds {', '.join(rules)}")
        found[kind][name] = int(number)
    return found


def _requirements(text: str, rules: Mapping[str, Rules]) -> dict[str, tuple[Requirement, ...]]:
    found: dict[str, list[Requirement]] = {name: [] for name in rules}
    for each in _list(text):
        parts = each.split(":")
        if len(parts) not in (3, 4) or parts[0] not in rules or parts[2] not in _SUBJECTS:
            raise CannotBuild(f"--requires has {each!r}: write kind:topic:asset or kind:topic:owner, and :cell after it if you like")
        word_of(parts[1])
        found[parts[0]].append(Requirement(parts[1], parts[2], _cell(parts[3]) if len(parts) == 4 else 0))
    return {name: tuple(each) for name, each in found.items()}


def _row(path: Path, number: int, each: dict[str, str]) -> AssetRow:
    def refuse(column: str, why: str) -> TableRefused:
        return TableRefused(f"{path}: row {number}, {column} = {each[column]!r}: {why}")

    if None in each or None in each.values():
        raise TableRefused(f"{path}: row {number} has not as many fields as the first row: {len(COLUMNS)}")
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
        if not 0 <= numbers[column] < _U64:
            raise refuse(column, "not a number of 64 bits")
    if numbers["curve"] not in KEY_BYTES:
        raise refuse("curve", "1 is Ed25519, 2 is P-256")
    try:
        key = bytes.fromhex(each["key"].removeprefix("0x"))
        check_key(numbers["curve"], key)
    except ValueError as error:
        raise refuse("key", str(error)) from None
    if each["kind"] not in installed():
        raise refuse("kind", f"no such kind is installed; there are {sorted(installed())}")
    return AssetRow(owner, numbers["curve"], key, each["kind"], numbers["cell"], numbers["rated"])


def _address(text: str) -> Address:
    raw = bytes.fromhex(text.removeprefix("0x"))
    if len(raw) != 20:
        raise ValueError(f"an address has 20 bytes, this has {len(raw)}")
    return Address(raw)


def _cell(text: str) -> int:
    """An H3 cell of hex digits. Errors: NotReadable."""
    try:
        cell = int(text, 16)
    except ValueError:
        cell = 0
    if not 0 < cell < 1 << 63:
        raise NotReadable(f"{text!r} is no H3 cell: write its 15 hex digits, as 8729a004bffffff")
    return cell


def _list(text: str) -> Sequence[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
