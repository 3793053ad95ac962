"""Commands of hosts and owners: whoever brings hardware."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from subak.cli.groups import WithUsual
from subak.cli.options import AccountKey, Json, NetworkFile

host = typer.Typer(
    cls=WithUsual, help="Run beside devices and disks; `subak host --network …` is `subak host run --network …`.", no_args_is_help=True
)
assets = typer.Typer(help="Assets of a network.", no_args_is_help=True)


@host.command("run")
def host_run(
    network: NetworkFile,
    config: Annotated[Path, typer.Option(help="host.toml: which devices this host serves.", exists=True, dir_okay=False)],
    json: Json = False,
) -> None:
    """Run beside devices: read, sign, keep, post."""
    from subak.cli.nodes import run_host

    run_host(network, config, json)


@host.command("storage")
def host_storage(
    network: NetworkFile,
    path: Annotated[
        Path, typer.Option(help="Folder of the disk to rent out; host.toml, device key and outbox lie there too.", file_okay=False)
    ],
    size: Annotated[str | None, typer.Option(help="First time: how much of the disk, 20GB or 16GiB.")] = None,
    owner: Annotated[str | None, typer.Option(help="First time: the owner's account, which is paid, 0x…")] = None,
    key: Annotated[
        Path | None, typer.Option(help="For a device whose key lies elsewhere: its file; made if it is missing.", dir_okay=False)
    ] = None,
    price: Annotated[str | None, typer.Option(help="For hosts who compete: what a GiB costs for 30 days, 0.004 if unsaid.")] = None,
    lend: Annotated[str | None, typer.Option(help="For careful hosts: how much a customer may be behind with paying, 1 if unsaid.")] = None,
    listen: Annotated[
        str | None, typer.Option(help="For hosts with several disks: address and port to listen on, 0.0.0.0:7460 if unsaid.")
    ] = None,
    endpoint: Annotated[str | None, typer.Option(help="For hosts behind a router: where customers reach it, http://…")] = None,
    json: Json = False,
) -> None:
    """Rent out a disk: keep customers' pieces, prove it, be paid."""
    from subak.cli.hosting import Disk, run_host_storage

    raise typer.Exit(
        run_host_storage(network, Disk(path, size or "", owner or "", key, price or "", lend or "", listen or "", endpoint or ""), json)
    )


@assets.command("import")
def assets_import(
    table: Annotated[
        Path, typer.Argument(help="CSV: owner,curve,key,kind,cell,rated; token,… where assets are mirrored.", exists=True, dir_okay=False)
    ],
    network: NetworkFile,
    key: Annotated[Path, typer.Option(help="File of the founder's key, or of the owner's.", exists=True, dir_okay=False)],
    dry_run: Annotated[bool, typer.Option(help="Check every row and say what would be registered.")] = False,
    json: Json = False,
) -> None:
    """Register assets from a table."""
    from subak.cli.registering import run_assets_import

    raise typer.Exit(run_assets_import(table, network, key, dry_run, json))


@assets.command("register")
def assets_register(
    network: NetworkFile,
    key: AccountKey,
    key_file: Annotated[Path, typer.Option(help="The device's key file; made if it is missing.", dir_okay=False)],
    kind: Annotated[str, typer.Option(help="What it is: energy, storage.")],
    cell: Annotated[str, typer.Option(help="H3 cell of its place, hex digits.")],
    rated: Annotated[int, typer.Option(min=1, max=2**63 - 1, help="Rated capacity in the kind's unit: W for energy, KiB for storage.")],
    owner: Annotated[
        str | None, typer.Option(help="For founders who register for others: the owner's account, 0x…; else the key's.")
    ] = None,
    token: Annotated[
        int, typer.Option(min=-1, help="Where assets are mirrored from a collection: which of its tokens the device is.")
    ] = -1,
    with_proof: Annotated[
        bool, typer.Option("--with-proof", help="For P-256 devices on a chain that checks it: the chain sees whose the device is.")
    ] = False,
    json: Json = False,
) -> None:
    """Register the device of one key file."""
    from subak.cli.registering import run_assets_register

    raise typer.Exit(
        run_assets_register(network, key, key_file, owner or "", token if token >= 0 else None, kind, cell, rated, with_proof, json)
    )


@assets.command("sync")
def assets_sync(
    network: NetworkFile,
    key: AccountKey,
    dry_run: Annotated[bool, typer.Option(help="Say what moved, and send nothing.")] = False,
    json: Json = False,
) -> None:
    """Where assets are mirrored: tell the network which tokens have new owners. Anyone can."""
    from subak.cli.registering import run_assets_sync

    raise typer.Exit(run_assets_sync(network, key, dry_run, json))
