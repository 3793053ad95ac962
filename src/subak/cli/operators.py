"""Commands of whoever runs a network or a part of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from subak.cli.options import ArchiveUrl, Json, NetworkFile, RpcUrl

lab = typer.Typer(help="Parts of the network on a laptop.", no_args_is_help=True)


def up(
    data: Annotated[
        Path, typer.Option(help="Keep the network here and resume it; without, a fresh one is thrown away at the end.")
    ] = Path(),
    homes: Annotated[int, typer.Option(min=1, max=10, help="How many of the recorded homes take part.")] = 10,
    disks: Annotated[int, typer.Option(min=0, max=20, help="How many disks keep customers' files.")] = 5,
    verifiers: Annotated[int, typer.Option(min=1, max=16, help="How many verifiers check and sign.")] = 3,
    speed: Annotated[int, typer.Option(min=1, max=86_400, help="Network seconds per real second; 3600 plays an hour a second.")] = 3600,
    ports: Annotated[int, typer.Option(min=0, max=65_000, help="First of a row of ports; 0 takes free ones.")] = 0,
    epochs: Annotated[int, typer.Option(min=0, help="Stop after so many final epochs; 0 runs until Ctrl-C.")] = 0,
    json: Json = False,
) -> None:
    """Run a whole network on this machine until Ctrl-C."""
    from tempfile import mkdtemp

    from subak.cli.up import run
    from subak.lab.town import Wishes

    kept = data != Path()
    folder = data.absolute() if kept else Path(mkdtemp(prefix="subak-"))
    raise typer.Exit(run(Wishes(folder, homes, disks, verifiers, speed, ports), epochs, json, kept))


def verifier(
    network: NetworkFile,
    folder: Annotated[Path, typer.Option(help="Log, archive and journal of this verifier.")],
    key: Annotated[Path, typer.Option(help="File of its signer key (mode 0600).", exists=True, dir_okay=False)],
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Where to listen.")],
    address: Annotated[str, typer.Option(help="Interface to listen on.")] = "127.0.0.1",
    json: Json = False,
) -> None:
    """Take Entries in, close epochs, sign what everyone is owed."""
    from subak.cli.nodes import run_verifier

    run_verifier(network, folder, key, address, port, json)


def explorer(
    rpc: RpcUrl,
    archive: ArchiveUrl,
    database: Annotated[Path, typer.Option(help="SQLite file of the index; it can be deleted at any time.")],
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Where to listen.")],
    address: Annotated[str, typer.Option(help="Interface to listen on.")] = "127.0.0.1",
    json: Json = False,
) -> None:
    """Serve the page of epochs, assets, payouts and refusals."""
    from subak.cli.nodes import run_explorer

    run_explorer(rpc, archive, database, address, port, json)


def doctor(json: Json = False) -> None:
    """Say what this machine lacks, and how to get it."""
    from subak.cli.doctor import run

    raise typer.Exit(run(json))


@lab.command("devices")
def lab_devices(network: NetworkFile, homes: Annotated[str, typer.Option(help="home:port,home:port,…")]) -> None:
    """Play recorded homes as SunSpec devices."""
    from subak.cli.nodes import run_devices

    run_devices(network, homes)


@lab.command("customer")
def lab_customer(
    network: NetworkFile,
    config: Annotated[Path, typer.Option(help="customer.toml: what is bought.", exists=True, dir_okay=False)],
    disks: Annotated[int, typer.Option(min=2, help="Over how many disks its file is spread, once so many are on offer.")] = 5,
) -> None:
    """Buy as a customer of the town does, and keep a file on its disks."""
    from subak.cli.nodes import run_town_customer

    run_town_customer(network, config, disks)


@lab.command("attacks")
def lab_attacks(json: Json = False) -> None:
    """Play every known cheat against the settlement: what it costs and what it brings."""
    from subak.cli.attacking import run

    run(json)
