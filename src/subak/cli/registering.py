"""Registering assets: from a table, from a key file, or as mirrors of tokens of a collection that was there before."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import typer

from subak.chain.accounts import Account
from subak.chain.contracts import ChainRefused, Contract, Sender
from subak.chain.deploy import contract, word_of
from subak.chain.network_file import load_network
from subak.chain.rpc import Rpc
from subak.chain.seams import collection_of
from subak.cli.units import NotReadable, address, cell_of, hexed, tell
from subak.core.canon.ids import KEY_BYTES, P256, asset_id
from subak.core.canon.signatures import check_key
from subak.core.nouns import Address, Network
from subak.kinds.registry import installed

COLUMNS = ("owner", "curve", "key", "kind", "cell", "rated")
MIRRORED = ("token", *COLUMNS[1:])
"""Where assets are mirrored, a row names the token of the collection; whose it is stands there."""
BATCH = 100
_U64, _U256 = 1 << 64, 1 << 256


class TableRefused(ValueError):
    """A CSV of assets with a row that cannot be registered; the text names row, column and value."""


@dataclass(frozen=True)
class AssetRow:
    """One row of the table."""

    owner: bytes
    """Account that holds it, 20 bytes; empty until the collection was asked."""
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
    token: int | None = None
    """Which token of the collection it is, where assets are mirrored."""

    @property
    def id(self) -> bytes:
        """Its asset id."""
        return asset_id(self.curve, self.key, self.owner)

    @property
    def registration(self) -> tuple[object, ...]:
        """Solidity's struct Registration, of Assets or of MirrorAssets."""
        whose = self.owner if self.token is None else self.token
        return (whose, self.curve, self.key, word_of(self.kind), self.cell, self.rated)


class Register:
    """The contract in which a network's assets stand, whichever it is."""

    def __init__(self, network: Network, rpc: Rpc) -> None:
        """Asks the chain which one it is. Errors: RpcError, RpcUnreachable."""
        self._rpc = rpc
        self.collection = collection_of(rpc, network.contracts)
        """The collection that is mirrored; None where assets have a contract of their own."""
        self.contract = contract(rpc, network.contracts, "Assets" if self.collection is None else "MirrorAssets")
        """What registers."""

    def owned(self, table: Path, rows: Sequence[AssetRow]) -> list[AssetRow]:
        """The rows with their owners of today. Errors: TableRefused if the table is for the other way of registering, or names a token
        that is nobody's."""
        tokens = [row.token for row in rows if row.token is not None]
        if self.collection is None or not rows:
            if tokens:
                raise TableRefused(f"{table} names tokens of a collection, and this network mirrors none: name owners")
            return list(rows)
        if not tokens:
            raise TableRefused(f"{table} names owners, and this network mirrors the collection {hexed(self.collection)}: name tokens")
        return [replace(row, owner=self.owner_of(token)) for row, token in zip(rows, tokens, strict=True)]

    def owner_of(self, token: int) -> bytes:
        """Whose a token of the collection is. Errors: NotReadable if it is nobody's, or there is no collection."""
        if self.collection is None:
            raise NotReadable(f"token {token}: this network mirrors no collection")
        try:
            owner: bytes = Contract("Assets", self.collection, self._rpc).call("ownerOf", token)
        except ChainRefused as refused:
            raise NotReadable(f"token {token} of {hexed(self.collection)} is nobody's: {refused}") from refused
        return owner

    def known(self) -> set[bytes] | set[int]:
        """What is registered: tokens where they are mirrored, else assets."""
        name, field = ("Registered", "asset") if self.collection is None else ("Mirrored", "tokenId")
        return {event.values[field] for event in self.contract.events(0, self._rpc.block("latest").number, [name])}


def read_assets(path: Path) -> list[AssetRow]:
    """Every row, checked; owners of tokens are not known yet. Errors: TableRefused."""
    with open(path, newline="") as file:
        reader = csv.DictReader(file)
        columns = tuple(reader.fieldnames or ())
        if columns not in (COLUMNS, MIRRORED):
            raise TableRefused(f"{path}: the columns are {list(columns)}, they have to be {list(COLUMNS)}, or token in owner's place")
        rows = [_row(path, number, each, columns[0]) for number, each in enumerate(reader, 2)]
    seen: dict[object, int] = {}
    for number, row in enumerate(rows, 2):
        what: object = row.id if row.token is None else row.token
        if what in seen:
            named = f"asset {hexed(row.id)}" if row.token is None else f"token {row.token}"
            raise TableRefused(f"{path}: rows {seen[what]} and {number} are the same {named}")
        seen[what] = number
    return rows


def run_assets_import(table: Path, network_file: Path, key: Path, dry_run: bool, json: bool) -> int:
    """Register every row that the chain does not know yet."""
    network = load_network(network_file)
    rpc = Rpc(network.nodes.rpc)
    rows = read_assets(table)
    register = Register(network, rpc)
    rows = register.owned(table, rows)
    known = register.known()
    new = [row for row in rows if (row.id if row.token is None else row.token) not in known]
    if not dry_run:
        sender = Sender(rpc, Account.load(key))
        with typer.progressbar(range(0, len(new), BATCH), label="registering", hidden=json) as steps:
            for at in steps:
                sender.send(register.contract, "registerMany", [row.registration for row in new[at : at + BATCH]])
    would = "would be registered" if dry_run else "registered"
    words = [f"{len(rows)} rows: {len(new)} {would}, {len(rows) - len(new)} were registered before"]
    words += [f"  {hexed(row.id)}  {row.kind}  owner {hexed(row.owner)}" for row in new]
    told = {"rows": len(rows), "already_registered": len(rows) - len(new), "registered": 0 if dry_run else len(new)}
    tell(json, {**told, "assets": [hexed(row.id) for row in new]}, "\n".join(words))
    return 0


def run_assets_register(
    network_file: Path, key: Path, key_file: Path, owner: str, token: int | None, kind: str, cell: str, rated: int, proof: bool, json: bool
) -> int:
    """Register the device of one key file; with ``proof`` the chain itself sees whose it is."""
    from subak.chain.registration import possession_proof
    from subak.host.keys import load_or_create

    network = load_network(network_file)
    rpc = Rpc(network.nodes.rpc)
    account = Account.load(key)
    if kind not in installed():
        raise NotReadable(f"the kind is {kind!r}; installed are {sorted(installed())}")
    register = Register(network, rpc)
    if register.collection is not None and (token is None or owner or proof):
        raise NotReadable("this network mirrors a collection, where a device's owner stands: name its --token, no --owner, no --with-proof")
    named = address(owner, "the owner") if owner else bytes(account.address)
    holder = named if token is None else register.owner_of(token)
    place = cell_of(cell)
    device = load_or_create(key_file, P256 if proof else None)
    row = AssetRow(holder, device.curve, device.public, kind, place, rated, token)
    new = not is_registered(register.contract, row.id)
    if new:
        sender = Sender(rpc, account)
        if proof:
            signed = possession_proof(device, network.chain_id, network.contracts.assets, row.owner)
            sender.send(register.contract, "registerWithProof", row.registration, signed)
        else:
            sender.send(register.contract, "register", row.registration)
    proved = proof and new
    unit = installed()[kind].notes.get("rated", "")
    how = "registered" if new else "was registered before:"
    more = "; the chain has seen whose it is" if proved else ""
    words = f"{how} {hexed(row.id)}: {kind}, {rated:,} {unit}, owner {hexed(row.owner)}{more}"
    told = {"asset": hexed(row.id), "curve": row.curve, "key": hexed(row.key), "owner": hexed(row.owner)}
    tell(json, {**told, "registered": new, "proved": proved}, words)
    return 0


def run_assets_sync(network_file: Path, key: Path, dry_run: bool, json: bool) -> int:
    """Tell a network that mirrors a collection which of its tokens have new owners."""
    network = load_network(network_file)
    rpc = Rpc(network.nodes.rpc)
    register = Register(network, rpc)
    if register.collection is None:
        raise NotReadable("this network mirrors no collection: who transfers an asset here tells it at once")
    mirrored = [event.values for event in register.contract.events(0, rpc.block("latest").number, ["Mirrored"])]
    told = register.contract.call_many([("toldOwner", (each["asset"],)) for each in mirrored])
    moved, gone = [], []
    sender = Sender(rpc, Account.load(key))
    with typer.progressbar(list(zip(mirrored, told, strict=True)), label="asking", hidden=json) as pairs:
        for each, before in pairs:
            try:
                owner = register.owner_of(each["tokenId"])
            except NotReadable:
                gone.append(each["tokenId"])
                continue
            if owner != before:
                moved.append({"asset": hexed(each["asset"]), "token": str(each["tokenId"]), "from": hexed(before), "to": hexed(owner)})
                if not dry_run:
                    sender.send(register.contract, "sync", each["asset"])
    words = [f"{len(mirrored)} assets: {len(moved)} {'have' if dry_run else 'had'} a new owner"]
    words += [f"  {each['asset']}  {each['from']} -> {each['to']}; its payees are void" for each in moved]
    words += [f"  token {token} is nobody's any more: its asset stays with its last owner" for token in gone]
    tell(json, {"assets": len(mirrored), "moved": moved, "gone": [str(token) for token in gone]}, "\n".join(words))
    return 0


def is_registered(assets: Contract, asset: bytes) -> bool:
    """Whether anyone owns this asset. Errors: those of questions to the chain."""
    try:
        assets.call("ownerOf", int.from_bytes(asset, "big"))
    except ChainRefused:
        return False
    return True


def _row(path: Path, number: int, each: dict[str, str], first: str) -> AssetRow:
    def refuse(column: str, why: str) -> TableRefused:
        return TableRefused(f"{path}: row {number}, {column} = {each[column]!r}: {why}")

    if None in each or None in each.values():
        raise TableRefused(f"{path}: row {number} has not as many fields as the first row: {len(COLUMNS)}")
    owner = b""
    if first == "owner":
        try:
            owner = _address(each["owner"])
        except ValueError as error:
            raise refuse("owner", str(error)) from None
    numbers = {}
    for column, end in (("curve", _U64), ("cell", _U64), ("rated", _U64), *((("token", _U256),) if first == "token" else ())):
        try:
            numbers[column] = int(each[column], 0)
        except ValueError:
            raise refuse(column, "not a whole number") from None
        if not 0 <= numbers[column] < end:
            raise refuse(column, f"not a number of {end.bit_length() - 1} bits")
    if numbers["curve"] not in KEY_BYTES:
        raise refuse("curve", "1 is Ed25519, 2 is P-256")
    try:
        key = bytes.fromhex(each["key"].removeprefix("0x"))
        check_key(numbers["curve"], key)
    except ValueError as error:
        raise refuse("key", str(error)) from None
    if each["kind"] not in installed():
        raise refuse("kind", f"no such kind is installed; there are {sorted(installed())}")
    return AssetRow(owner, numbers["curve"], key, each["kind"], numbers["cell"], numbers["rated"], numbers.get("token"))


def _address(text: str) -> Address:
    raw = bytes.fromhex(text.removeprefix("0x"))
    if len(raw) != 20:
        raise ValueError(f"an address has 20 bytes, this has {len(raw)}")
    return Address(raw)
