"""Commands of customers: whoever buys energy or keeps files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from subak.cli.options import STORAGE, WALLET, Csv, Json, NetworkFile, StorageFolder, WalletFolder

wallet = typer.Typer(help="A customer's account and session keys.", no_args_is_help=True)
channel = typer.Typer(help="Prepaid money.", no_args_is_help=True)
lane = typer.Typer(help="Money that is set aside for vouchers of one session key.", no_args_is_help=True)
store = typer.Typer(help="Files on other people's disks, sealed here.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="What the file was stored as.")]


@wallet.command("create")
def wallet_create(network: NetworkFile, folder: WalletFolder = WALLET, json: Json = False) -> None:
    """Make an account."""
    from subak.cli.buying import run_wallet_create

    raise typer.Exit(run_wallet_create(network, folder, json))


@wallet.command("show")
def wallet_show(network: NetworkFile, folder: WalletFolder = WALLET, json: Json = False) -> None:
    """Tell what the account holds, and what its lanes do."""
    from subak.cli.buying import run_wallet_show

    raise typer.Exit(run_wallet_show(network, folder, json))


@channel.command("deposit")
def channel_deposit(
    amount: Annotated[str, typer.Argument(help="How much, 12.50")], network: NetworkFile, folder: WalletFolder = WALLET, json: Json = False
) -> None:
    """Prepay."""
    from subak.cli.buying import run_channel_deposit

    raise typer.Exit(run_channel_deposit(network, folder, amount, json))


@channel.command("withdraw")
def channel_withdraw(
    network: NetworkFile,
    amount: Annotated[str | None, typer.Argument(help="How much; all if unsaid, lanes that can be closed included.")] = None,
    folder: WalletFolder = WALLET,
    json: Json = False,
) -> None:
    """Take back what no lane holds."""
    from subak.cli.buying import run_channel_withdraw

    raise typer.Exit(run_channel_withdraw(network, folder, amount or "", json))


@channel.command("show")
def channel_show(network: NetworkFile, folder: WalletFolder = WALLET, json: Json = False) -> None:
    """Tell what can be taken back, and when."""
    from subak.cli.buying import run_channel_show

    raise typer.Exit(run_channel_show(network, folder, json))


@lane.command("open")
def lane_open(
    network: NetworkFile,
    limit: Annotated[str, typer.Option(help="The most that it can spend, 20.00")],
    clerk: Annotated[
        str | None, typer.Option(help="For customers who trust one verifier: its address, http://… or 0x…; else the one with most room.")
    ] = None,
    days: Annotated[
        int, typer.Option(min=0, help="For short purchases: network days that it lasts; 0 is as long as the chain allows.")
    ] = 0,
    folder: WalletFolder = WALLET,
    json: Json = False,
) -> None:
    """Set money aside, and choose who countersigns."""
    from subak.cli.buying import run_lane_open

    raise typer.Exit(run_lane_open(network, folder, limit, clerk or "", days, json))


@lane.command("revoke")
def lane_revoke(
    network: NetworkFile,
    lane: Annotated[str | None, typer.Argument(help="A lane's id, 0x…, or how it begins.")] = None,
    every: Annotated[bool, typer.Option("--all", help="For whoever leaves, or lost a key: every lane of the account.")] = False,
    folder: WalletFolder = WALLET,
    json: Json = False,
) -> None:
    """Let a lane close soon: a session key may be stolen."""
    from subak.cli.buying import run_lane_revoke

    raise typer.Exit(run_lane_revoke(network, folder, lane or "", every, json))


@lane.command("close")
def lane_close(
    network: NetworkFile,
    lane: Annotated[str | None, typer.Argument(help="A lane's id, 0x…, or how it begins; all whose time has come if unsaid.")] = None,
    folder: WalletFolder = WALLET,
    json: Json = False,
) -> None:
    """Have back what lanes did not spend."""
    from subak.cli.buying import run_lane_close

    raise typer.Exit(run_lane_close(network, folder, lane or "", json))


@lane.command("list")
def lane_list(
    network: NetworkFile,
    every: Annotated[bool, typer.Option("--all", help="For bookkeepers: closed ones too.")] = False,
    folder: WalletFolder = WALLET,
    json: Json = False,
) -> None:
    """Name the wallet's lanes."""
    from subak.cli.buying import run_lane_list

    raise typer.Exit(run_lane_list(network, folder, every, json))


def bill(
    network: NetworkFile,
    folder: WalletFolder = WALLET,
    first: Annotated[int, typer.Option(min=0, help="For a look at some time: first epoch.")] = 0,
    last: Annotated[int, typer.Option(min=-1, help="For a look at some time: last epoch, included; -1 is the newest.")] = -1,
    csv: Csv = False,
    json: Json = False,
) -> None:
    """Tell what was bought of whom, epoch by epoch, and what was paid."""
    from subak.cli.buying import run_bill

    raise typer.Exit(run_bill(network, folder, first, last, csv, json))


def customer(
    network: NetworkFile,
    config: Annotated[Path, typer.Option(help="customer.toml: what is bought, and for how much.", exists=True, dir_okay=False)],
    once: Annotated[bool, typer.Option("--once", help="For whoever runs it from a timer: one look, then stop.")] = False,
    json: Json = False,
) -> None:
    """Buy: follow final epochs, bill them once, pay, keep a lane open."""
    from subak.cli.buying import run_customer

    raise typer.Exit(run_customer(network, config, once, json))


@store.command("put")
def store_put(
    file: Annotated[Path, typer.Argument(help="The file.", exists=True, dir_okay=False)],
    network: NetworkFile,
    name: Annotated[
        str | None, typer.Option(help="For whoever keeps several versions: what to store it as; the file's name if unsaid.")
    ] = None,
    needed: Annotated[int, typer.Option(min=1, max=256, help="For careful customers: any so many hosts give it back.")] = 4,
    hosts: Annotated[int, typer.Option(min=1, max=256, help="For careful customers: over so many hosts it is spread.")] = 10,
    max_price: Annotated[
        str | None, typer.Option(help="For thrifty customers: the most that a GiB may cost for 30 days at a host.")
    ] = None,
    wallet: WalletFolder = WALLET,
    folder: StorageFolder = STORAGE,
    json: Json = False,
) -> None:
    """Seal a file and spread it over the cheapest hosts, of different owners if there are enough."""
    from subak.cli.storing import run_put

    raise typer.Exit(run_put(network, wallet, folder, file, name or "", needed, hosts, max_price or "", json))


@store.command("get")
def store_get(
    name: Name,
    network: NetworkFile,
    out: Annotated[Path | None, typer.Option(help="Where it goes; its name in this folder if unsaid.", dir_okay=False)] = None,
    wallet: WalletFolder = WALLET,
    folder: StorageFolder = STORAGE,
    json: Json = False,
) -> None:
    """Fetch a file, verified."""
    from subak.cli.storing import run_get

    raise typer.Exit(run_get(network, wallet, folder, name, out, json))


@store.command("ls")
def store_ls(folder: StorageFolder = STORAGE, json: Json = False) -> None:
    """Name the stored files; needs no network."""
    from subak.cli.storing import run_ls

    raise typer.Exit(run_ls(folder, json))


@store.command("rm")
def store_rm(name: Name, network: NetworkFile, wallet: WalletFolder = WALLET, folder: StorageFolder = STORAGE, json: Json = False) -> None:
    """Remove a file, here and at its hosts."""
    from subak.cli.storing import run_rm

    raise typer.Exit(run_rm(network, wallet, folder, name, json))


@store.command("verify")
def store_verify(
    name: Name, network: NetworkFile, wallet: WalletFolder = WALLET, folder: StorageFolder = STORAGE, json: Json = False
) -> None:
    """Have hosts show that a file lies in what they are asked about; exit code 1 if a part does not."""
    from subak.cli.storing import run_verify

    raise typer.Exit(run_verify(network, wallet, folder, name, json))
