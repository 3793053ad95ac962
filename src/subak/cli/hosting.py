"""What a host does: serve devices, and rent out a disk with one command."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import tomli_w

from subak.chain.contracts import ChainRefused, Contract
from subak.chain.network_file import load_network
from subak.chain.rpc import Rpc
from subak.chain.snapshot import text_of
from subak.cli.nodes import CannotHost, run_host
from subak.cli.units import Currency, address, currencies, hexed, tell
from subak.core.canon.ids import asset_id
from subak.core.nouns import Network
from subak.host.config import load
from subak.host.keys import load_or_create
from subak.kinds.storage.host.config import GIB_MONTH, USUAL_LISTEN, USUAL_PRICE, kib_of, storage_table

KIND = "storage"
HOST_FILE, DEVICE_KEY = "host.toml", "device.key"
_EVERYWHERE = ("0.0.0.0", "[::]", "::")  # noqa: S104


@dataclass(frozen=True)
class Disk:
    """What a host wants to rent out, as on the command line; empty is unsaid."""

    path: Path
    """Folder of the pieces, and of host.toml, outbox and ledger."""
    size: str = ""
    """How much of the disk: 20GB."""
    owner: str = ""
    """Account that is paid."""
    key: Path | None = None
    """File of the device's key; by default in the folder."""
    price: str = ""
    """What a GiB costs for 30 days."""
    lend: str = ""
    """The most that a customer may be behind."""
    listen: str = ""
    """Address and port."""
    endpoint: str = ""
    """Where customers reach it."""


def run_host_storage(network_file: Path, disk: Disk, json: bool) -> int:
    """Rent out a folder, until stopped; host.toml is written the first time."""
    network = load_network(network_file)
    rpc = Rpc(network.nodes.rpc)
    config = disk.path / HOST_FILE
    if config.exists():
        _check_same(config, disk, currencies(rpc, network).payment)
    else:
        _write(config, disk, currencies(rpc, network).payment)
    source, asset = _told(config)
    _check_registered(network, rpc, config, source, asset)
    told = {"event": "starting", "asset": hexed(asset), "config": str(config), "listen": source["listen"], "endpoint": source["endpoint"]}
    tell(json, told, f"asset {hexed(asset)} keeps up to {source['size']} in {disk.path} at {source['endpoint']}; {config} says how")
    run_host(network_file, config, json)
    return 0


def _write(config: Path, disk: Disk, payment: Currency) -> None:
    """A host.toml for the folder, in one step."""
    lacking = [name for name, given in (("--size", disk.size), ("--owner", disk.owner)) if not given]
    if lacking:
        raise CannotHost(f"there is no {config} yet: name {' and '.join(lacking)}, and it is written")
    owner = address(disk.owner, "--owner")
    listen = disk.listen or USUAL_LISTEN
    endpoint = disk.endpoint or _endpoint(listen)
    money = payment.parse(disk.price, "--price") if disk.price else USUAL_PRICE
    lend = payment.parse(disk.lend, "--lend") if disk.lend else 10**payment.decimals
    try:
        source = storage_table(disk.path, disk.size, endpoint=endpoint, listen=listen, price=money, per_units=GIB_MONTH)
    except ValueError as error:
        raise CannotHost(str(error)) from None
    key_file = disk.key or disk.path / DEVICE_KEY
    key = load_or_create(key_file)
    device = {
        "asset": hexed(asset_id(key.curve, key.public, owner)),
        "owner": hexed(owner),
        "kind": KIND,
        "key": os.path.relpath(key_file.absolute(), disk.path.absolute()),
        "source": source,
    }
    fresh = config.with_suffix(".new")
    fresh.write_text(tomli_w.dumps({"outbox": "outbox.sqlite", "ledger": "ledger.sqlite", "lend": lend, "devices": [device]}))
    fresh.rename(config)


def _check_same(config: Path, disk: Disk, payment: Currency) -> None:
    """Options that say otherwise than the file are a mistake, whichever of the two is meant."""
    document = _document(config)
    device, source = document["devices"][0], document["devices"][0]["source"]
    said: list[tuple[str, str, Any, Any]] = [
        ("--size", disk.size, disk.size, source["size"]),
        ("--owner", disk.owner, disk.owner.lower(), device["owner"].lower()),
        ("--listen", disk.listen, disk.listen, source["listen"]),
        ("--endpoint", disk.endpoint, disk.endpoint, source["endpoint"]),
        ("--lend", disk.lend, payment.parse(disk.lend, "--lend") if disk.lend else 0, document.get("lend", 0)),
        ("--price", disk.price, payment.parse(disk.price, "--price") if disk.price else 0, source["price"]),
    ]
    if disk.key is not None:
        said.append(("--key", str(disk.key), disk.key.resolve(), (config.parent / device["key"]).resolve()))
    for option, text, wanted, found in said:
        if text and wanted != found:
            raise CannotHost(f"{config} says {found}, and {option} {text}: change the file, or leave the option away")


def _told(config: Path) -> tuple[dict[str, Any], bytes]:
    """Source table and asset of the only device."""
    document = _document(config)
    if len(document["devices"]) != 1 or document["devices"][0].get("kind") != KIND:
        raise CannotHost(f"{config} is not of one storage asset: run it with `subak host --config {config}`")
    device = document["devices"][0]
    return device["source"], bytes.fromhex(device["asset"][2:])


def _document(config: Path) -> dict[str, Any]:
    load(config)
    document: dict[str, Any] = msgspec.toml.decode(config.read_bytes())
    return document


def _check_registered(network: Network, rpc: Rpc, config: Path, source: dict[str, Any], asset: bytes) -> None:
    """What the network would refuse for ever, said before anything begins."""
    assets = Contract("Assets", network.contracts.assets, rpc)
    capacity = kib_of(source["size"])
    try:
        assets.call("ownerOf", int.from_bytes(asset, "big"))
    except ChainRefused:
        device = _document(config)["devices"][0]
        command = f"subak assets register --network … --key … --key-file {config.parent / device['key']} --owner {device['owner']}"
        more = f"--kind {KIND} --rated {capacity} --cell …"
        raise CannotHost(f"the network does not know the asset {hexed(asset)} yet: `{command} {more}`") from None
    events = assets.events(0, rpc.block("latest").number, ["Registered"])
    found = next(event.values for event in events if event.values["asset"] == asset)
    if text_of(found["kind"]) != KIND or found["rated"] < capacity:
        has = f"{text_of(found['kind'])} of {found['rated']:,}"
        raise CannotHost(f"the asset {hexed(asset)} is registered as {has}, and {source['size']} are {capacity:,} KiB: keep a smaller size")


def _endpoint(listen: str) -> str:
    """Where customers reach an address that is one."""
    host, _, port = listen.rpartition(":")
    if host in _EVERYWHERE or port in ("", "0"):
        raise CannotHost(f"it listens on {listen}, which nobody can call: say where customers reach it, --endpoint http://…:{port or 7460}")
    return f"http://{listen}"
