"""Commands of builders and investors: assets that many people paid for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from subak.cli.options import AccountKey, Json, NetworkFile, SharesAddress

raises = typer.Typer(help="Raise money for assets that its holders then own.", no_args_is_help=True)
shares = typer.Typer(help="Shares of assets, and their revenue.", no_args_is_help=True)


@raises.command("create")
def raise_create(
    terms: Annotated[
        Path,
        typer.Argument(
            help="The builder's terms, a TOML file: name, symbol, soft_cap, hard_cap, raise_end, build_end, topics and [[milestones]].",
            exists=True,
            dir_okay=False,
        ),
    ],
    network: NetworkFile,
    key: AccountKey,
    json: Json = False,
) -> None:
    """Begin a raise; its terms can never change."""
    from subak.cli.investing import run_create

    raise typer.Exit(run_create(network, terms, key, json))


@raises.command("list")
def raise_list(network: NetworkFile, json: Json = False) -> None:
    """Name every raise."""
    from subak.cli.investing import run_list

    raise typer.Exit(run_list(network, json))


@raises.command("show")
def raise_show(address: SharesAddress, network: NetworkFile, json: Json = False) -> None:
    """Tell how a raise stands, and its terms."""
    from subak.cli.investing import run_show

    raise typer.Exit(run_show(network, address, json))


@raises.command("contribute")
def raise_contribute(
    address: SharesAddress,
    amount: Annotated[str, typer.Argument(help="How much, 250.00; a share is one of it.")],
    network: NetworkFile,
    key: AccountKey,
    json: Json = False,
) -> None:
    """Pay in, for shares."""
    from subak.cli.investing import run_contribute

    raise typer.Exit(run_contribute(network, address, amount, key, json))


@raises.command("finish")
def raise_finish(address: SharesAddress, network: NetworkFile, key: AccountKey, json: Json = False) -> None:
    """Do what is left to do once a raise has ended; anyone can."""
    from subak.cli.investing import run_finish

    raise typer.Exit(run_finish(network, address, key, json))


@raises.command("refund")
def raise_refund(
    address: SharesAddress,
    network: NetworkFile,
    key: AccountKey,
    account: Annotated[str | None, typer.Option(help="For whoever helps others: whose money goes back, 0x…; else the key's.")] = None,
    json: Json = False,
) -> None:
    """Have the money back after a raise that failed."""
    from subak.cli.investing import run_refund

    raise typer.Exit(run_refund(network, address, account or "", key, json))


@raises.command("milestone")
def raise_milestone(
    address: SharesAddress,
    number: Annotated[int, typer.Argument(min=0, help="Which one, as `subak raise show` numbers them.")],
    network: NetworkFile,
    key: AccountKey,
    json: Json = False,
) -> None:
    """Pay the builder for a milestone that final data prove; anyone can."""
    from subak.cli.investing import run_milestone

    raise typer.Exit(run_milestone(network, address, number, key, json))


@shares.command("show")
def shares_show(
    address: SharesAddress,
    account: Annotated[str, typer.Option(help="Whose shares, 0x…")],
    network: NetworkFile,
    json: Json = False,
) -> None:
    """Tell what an account holds, and what revenue waits for it."""
    from subak.cli.investing import run_shares_show

    raise typer.Exit(run_shares_show(network, address, account, json))


@shares.command("withdraw")
def shares_withdraw(
    address: SharesAddress,
    network: NetworkFile,
    key: AccountKey,
    account: Annotated[str | None, typer.Option(help="For whoever helps others: who is paid, 0x…; else the key's account.")] = None,
    json: Json = False,
) -> None:
    """Have an account's revenue paid, in every currency."""
    from subak.cli.investing import run_shares_withdraw

    raise typer.Exit(run_shares_withdraw(network, address, account or "", key, json))


@shares.command("transfer")
def shares_transfer(
    address: SharesAddress,
    to: Annotated[str, typer.Argument(help="Who receives them, 0x…")],
    amount: Annotated[str, typer.Argument(help="How many.")],
    network: NetworkFile,
    key: AccountKey,
    json: Json = False,
) -> None:
    """Give shares to somebody who may hold them."""
    from subak.cli.investing import run_shares_transfer

    raise typer.Exit(run_shares_transfer(network, address, to, amount, key, json))
