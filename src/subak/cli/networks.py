"""Commands of founders: bringing a network onto a chain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from subak.cli.options import AccountKey, Json, NetworkFile

network = typer.Typer(help="A network's contracts and its file, network.toml.", no_args_is_help=True)


@network.command("deploy")
def network_deploy(
    plan: Annotated[Path, typer.Argument(help="network.toml without [contracts]: the founders' plan.", exists=True, dir_okay=False)],
    key: Annotated[Path, typer.Option(help="File of the founder's key; it pays, and administers nothing.", exists=True, dir_okay=False)],
    out: Annotated[
        Path | None, typer.Option(help="For founders who keep the plan apart: the file of the deployed network.", dir_okay=False)
    ] = None,
    dry_run: Annotated[bool, typer.Option(help="Check the plan against the chain, and send nothing.")] = False,
    json: Json = False,
) -> None:
    """Deploy what a plan says, and write the addresses beside it. With [existing] in it, only what an existing network lacks."""
    from subak.cli.deploying import run_deploy

    raise typer.Exit(run_deploy(plan, key, out or plan, dry_run, json))


@network.command("succeed")
def network_succeed(file: NetworkFile, key: AccountKey, json: Json = False) -> None:
    """Let an announced Settlement take over, once its wait is over; anyone can."""
    from subak.cli.succeeding import run_succeed

    raise typer.Exit(run_succeed(file, key, json))


@network.command("follow")
def network_follow(
    file: NetworkFile,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change, and write nothing.")] = False,
    json: Json = False,
) -> None:
    """After a new Settlement took over: write its addresses into network.toml, from the chain alone."""
    from subak.cli.succeeding import run_follow

    raise typer.Exit(run_follow(file, dry_run, json))
