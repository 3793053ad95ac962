"""Every command, in the order in which a newcomer needs them. Heavy imports wait until a command runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="subak",
    help="Run, join and check physical-infrastructure networks that their contributors own.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
assets_app = typer.Typer(help="Assets of a network.", no_args_is_help=True)
policy_app = typer.Typer(help="The rules in force and their tables.", no_args_is_help=True)
epoch_app = typer.Typer(help="Settled epochs.", no_args_is_help=True)
lab_app = typer.Typer(help="Parts of the network on a laptop.", no_args_is_help=True, hidden=True)
for name, group in (("assets", assets_app), ("policy", policy_app), ("epoch", epoch_app), ("lab", lab_app)):
    app.add_typer(group, name=name)

Json = Annotated[bool, typer.Option("--json", help="For programs: JSON instead of words.")]
ArchiveUrl = Annotated[str, typer.Option("--archive", help="Any verifier's archive: http://…/archive")]
RpcUrl = Annotated[str, typer.Option("--rpc", help="JSON-RPC of the chain.")]
NetworkFile = Annotated[Path, typer.Option("--network", help="network.toml", exists=True, dir_okay=False)]


@app.command()
def up(
    data: Annotated[
        Path, typer.Option(help="Keep the network here and resume it; without, a fresh one is thrown away at the end.")
    ] = Path(),
    homes: Annotated[int, typer.Option(min=1, max=10, help="How many of the recorded homes take part.")] = 10,
    verifiers: Annotated[int, typer.Option(min=1, max=16, help="How many verifiers check and sign.")] = 3,
    speed: Annotated[int, typer.Option(min=1, max=86_400, help="Network seconds per real second; 3600 plays an hour a second.")] = 3600,
    ports: Annotated[int, typer.Option(min=0, max=65_000, help="First of a row of ports; 0 takes free ones.")] = 0,
    epochs: Annotated[int, typer.Option(min=0, help="Stop after so many final epochs; 0 runs until Ctrl-C.")] = 0,
    json: Json = False,
) -> None:
    """Run a whole network on this machine until Ctrl-C."""
    from subak.cli.up import run

    raise typer.Exit(run(data if data != Path() else None, homes, verifiers, speed, ports, epochs, json))


@app.command()
def host(
    network: NetworkFile,
    config: Annotated[Path, typer.Option(help="host.toml: which devices this host serves.", exists=True, dir_okay=False)],
) -> None:
    """Run beside devices: read, sign, keep, post."""
    from subak.cli.nodes import run_host

    run_host(network, config)


@app.command()
def verifier(
    network: NetworkFile,
    folder: Annotated[Path, typer.Option(help="Log, archive and journal of this verifier.")],
    key: Annotated[Path, typer.Option(help="File of its signer key (mode 0600).", exists=True, dir_okay=False)],
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Where to listen.")],
    address: Annotated[str, typer.Option(help="Interface to listen on.")] = "127.0.0.1",
) -> None:
    """Take Entries in, close epochs, sign what everyone is owed."""
    from subak.cli.nodes import run_verifier

    run_verifier(network, folder, key, address, port)


@app.command()
def explorer(
    rpc: RpcUrl,
    archive: ArchiveUrl,
    database: Annotated[Path, typer.Option(help="SQLite file of the index; it can be deleted at any time.")],
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Where to listen.")],
    address: Annotated[str, typer.Option(help="Interface to listen on.")] = "127.0.0.1",
) -> None:
    """Serve the page of epochs, assets, payouts and refusals."""
    from subak.explorer.app import serve

    serve(rpc, archive, database, address, port)


@app.command()
def check(epoch: Annotated[int, typer.Argument(min=0, help="Which epoch.")], archive: ArchiveUrl, rpc: RpcUrl, json: Json = False) -> None:
    """Recompute an epoch from public data: same root, or which line differs."""
    from subak.cli.audit import run_check

    raise typer.Exit(run_check(epoch, archive, rpc, json))


@app.command()
def statement(asset: Annotated[str, typer.Argument(help="Asset id, 0x…")], archive: ArchiveUrl, rpc: RpcUrl, json: Json = False) -> None:
    """Tell an owner what was accepted, held and refused, and why."""
    from subak.cli.audit import run_statement

    raise typer.Exit(run_statement(asset, archive, rpc, json))


@app.command()
def claim(
    account: Annotated[str, typer.Argument(help="Account to pay out, 0x…; anyone may claim for it.")],
    archive: ArchiveUrl,
    rpc: RpcUrl,
    key: Annotated[Path, typer.Option(help="File of the key that pays the gas (mode 0600).", exists=True, dir_okay=False)],
    json: Json = False,
) -> None:
    """Send an account what the last final root owes it."""
    from subak.cli.audit import run_claim

    raise typer.Exit(run_claim(account, archive, rpc, key, json))


@assets_app.command("import")
def assets_import(
    table: Annotated[Path, typer.Argument(help="CSV: owner,curve,key,kind,cell,rated", exists=True, dir_okay=False)],
    network: NetworkFile,
    key: Annotated[Path, typer.Option(help="File of the founder's key, or of the owner's.", exists=True, dir_okay=False)],
    dry_run: Annotated[bool, typer.Option(help="Check every row and say what would be registered.")] = False,
    json: Json = False,
) -> None:
    """Register assets from a table."""
    from subak.cli.found import run_assets_import

    raise typer.Exit(run_assets_import(table, network, key, dry_run, json))


@policy_app.command("build")
def policy_build(
    out: Annotated[Path, typer.Option(help="Archive folder that gets the policy and its tables.")],
    assets: Annotated[Path, typer.Option(help="CSV of assets (as for import) that an issuer attests.", exists=True, dir_okay=False)],
    issuer: Annotated[str, typer.Option(help="Address of the issuer of the attestations, 0x…")],
    first: Annotated[str, typer.Option(help="First day that the limit tables cover, 2017-06-01 (UTC).")],
    last: Annotated[str, typer.Option(help="Last day, included.")],
    escrow_epochs: Annotated[int, typer.Option(min=0, help="Rewards vest so many epochs after they were earned.")] = 0,
    late_epochs: Annotated[int, typer.Option(min=1, help="Lines older than so many epochs are refused.")] = 7,
    json: Json = False,
) -> None:
    """Make a policy with its limit tables; its hash goes on chain."""
    from subak.cli.found import run_policy_build

    raise typer.Exit(run_policy_build(out, assets, issuer, first, last, escrow_epochs, late_epochs, json))


@epoch_app.command("export")
def epoch_export(
    epoch: Annotated[int, typer.Argument(min=0, help="Which epoch; its range's payout tree is written.")],
    leaves: Annotated[Path, typer.Option(help="Where the dump goes; @openzeppelin/merkle-tree loads it.")],
    archive: ArchiveUrl,
    rpc: RpcUrl,
    json: Json = False,
) -> None:
    """Write the payout tree for other tools."""
    from subak.cli.audit import run_export

    raise typer.Exit(run_export(epoch, leaves, archive, rpc, json))


@app.command()
def doctor(json: Json = False) -> None:
    """Say what this machine lacks, and how to get it."""
    from subak.cli.doctor import run

    raise typer.Exit(run(json))


@lab_app.command("devices")
def lab_devices(network: NetworkFile, homes: Annotated[str, typer.Option(help="home:port,home:port,…")]) -> None:
    """Play recorded homes as SunSpec devices."""
    from subak.cli.nodes import run_devices

    run_devices(network, homes)


def main() -> None:
    """Run the door; known faults are one line with their remedy, not a traceback."""
    try:
        app()
    except Exception as fault:
        from subak.cli.faults import KNOWN_FAULTS  # only now: a verifier need not load what other commands fail with

        if not isinstance(fault, KNOWN_FAULTS):
            raise
        typer.secho(f"{type(fault).__name__}: {fault}", fg="red", err=True)
        sys.exit(1)
