"""Commands of whoever owns a verifier: its bond and its signing key."""

from __future__ import annotations

from typing import Annotated

import typer

from subak.cli.options import AccountKey, Json, NetworkFile

stake = typer.Typer(help="A verifier's bond: join, leave, change the signing key.", no_args_is_help=True)

Signer = Annotated[str, typer.Option(help="Address of the hot key that the verifier signs with, not the owner's.")]


@stake.command("show")
def show(
    owner: Annotated[str, typer.Argument(help="Address of the owner, or of a signer.")],
    network: NetworkFile,
    json: Json = False,
) -> None:
    """How somebody's bond stands."""
    from subak.cli.staking import run_show

    raise typer.Exit(run_show(network, owner, json))


@stake.command("join")
def join(
    network: NetworkFile,
    key: AccountKey,
    signer: Signer,
    amount: Annotated[str, typer.Option(help="The bond, in tokens; left away, the least that the network takes.")] = "",
    json: Json = False,
) -> None:
    """Become a verifier from the next epoch."""
    from subak.cli.staking import run_join

    raise typer.Exit(run_join(network, key, signer, amount, json))


@stake.command("add")
def add(
    amount: Annotated[str, typer.Argument(help="How much more, in tokens.")],
    network: NetworkFile,
    key: AccountKey,
    json: Json = False,
) -> None:
    """Put more at stake."""
    from subak.cli.staking import run_add

    raise typer.Exit(run_add(network, key, amount, json))


@stake.command("rotate")
def rotate(network: NetworkFile, key: AccountKey, signer: Signer, json: Json = False) -> None:
    """Let another hot key sign from the next epoch: after a leak, or every now and then."""
    from subak.cli.staking import run_rotate

    raise typer.Exit(run_rotate(network, key, signer, json))


@stake.command("exit")
def leave(network: NetworkFile, key: AccountKey, json: Json = False) -> None:
    """Verify no longer; the bond is held until every window of its votes is over."""
    from subak.cli.staking import run_exit

    raise typer.Exit(run_exit(network, key, json))


@stake.command("withdraw")
def withdraw(network: NetworkFile, key: AccountKey, json: Json = False) -> None:
    """Have the bond back once it is released."""
    from subak.cli.staking import run_withdraw

    raise typer.Exit(run_withdraw(network, key, json))
