"""Commands of whoever checks, and of whoever is paid: nothing but an archive and a chain is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from subak.cli.options import AccountKey, ArchiveUrl, Csv, Json, RpcUrl

epoch = typer.Typer(help="Settled epochs.", no_args_is_help=True)


def check(epoch: Annotated[int, typer.Argument(min=0, help="Which epoch.")], archive: ArchiveUrl, rpc: RpcUrl, json: Json = False) -> None:
    """Recompute an epoch from public data: same root, or which line differs."""
    from subak.cli.audit import run_check

    raise typer.Exit(run_check(epoch, archive, rpc, json))


def statement(
    archive: ArchiveUrl,
    rpc: RpcUrl,
    asset: Annotated[str | None, typer.Argument(help="Asset id, 0x…, for its owner.", show_default=False)] = None,
    account: Annotated[str | None, typer.Option(help="For a tax return: an account in place of an asset, 0x…")] = None,
    year: Annotated[
        int | None, typer.Option(min=1970, max=9998, help="For a tax return: the year (UTC) in which it could be taken.")
    ] = None,
    rates: Annotated[
        Path | None, typer.Option(help="For a tax return: CSV of date,currency,rate, to value each amount.", exists=True, dir_okay=False)
    ] = None,
    csv: Csv = False,
    json: Json = False,
) -> None:
    """Tell an owner what was accepted, held and refused, and why; or what an account earned in a year."""
    if bool(asset) == bool(account):
        raise typer.BadParameter("name an asset, or an account with --account")
    if asset and (year or rates or csv):
        raise typer.BadParameter("--year, --rates and --csv go with --account")
    from subak.cli.audit import run_earnings, run_statement

    if asset:
        raise typer.Exit(run_statement(asset, archive, rpc, json))
    if not year:
        raise typer.BadParameter("--account goes with --year")
    raise typer.Exit(run_earnings(account or "", year, rates, archive, rpc, csv, json))


def claim(
    account: Annotated[str, typer.Argument(help="Account to pay out, 0x…; anyone may claim for it.")],
    archive: ArchiveUrl,
    rpc: RpcUrl,
    key: AccountKey,
    json: Json = False,
) -> None:
    """Send an account what the last final root owes it."""
    from subak.cli.audit import run_claim

    raise typer.Exit(run_claim(account, archive, rpc, key, json))


@epoch.command("export")
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
