"""Commands of founders and issuers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from subak.cli.options import Json, NetworkFile

policy = typer.Typer(help="The rules in force and their tables.", no_args_is_help=True)
attest = typer.Typer(help="What issuers say of assets and accounts.", no_args_is_help=True)

NEVER = (1 << 32) - 1

Subject = Annotated[str, typer.Argument(help="An asset's id or an account's address, 0x…")]
Topic = Annotated[str, typer.Argument(help="What is said of it: installed, person, licence …")]
IssuerKey = Annotated[Path, typer.Option("--key", help="File of the issuer's key.", exists=True, dir_okay=False)]


@policy.command("build")
def policy_build(
    out: Annotated[Path, typer.Option(help="Archive folder that gets the policy and its tables.")],
    kinds: Annotated[str, typer.Option(help="Kinds that are paid, of those installed: energy,storage")],
    first: Annotated[str | None, typer.Option(help="For energy: first day that the limit tables cover, 2017-06-01 (UTC).")] = None,
    last: Annotated[str | None, typer.Option(help="For energy: last day, included.")] = None,
    cells: Annotated[str | None, typer.Option(help="For energy: H3 cells that they cover, hex digits with commas.")] = None,
    assets: Annotated[
        Path | None, typer.Option(help="For energy: CSV of assets (as for import) whose cells they cover.", exists=True, dir_okay=False)
    ] = None,
    parameters: Annotated[
        str | None, typer.Option(help="For founders who tune kinds: storage.tasks_per_day=460,energy.zone_resolution=5")
    ] = None,
    requires: Annotated[
        str | None, typer.Option(help="For regulated kinds: who must hold which attestation, energy:licence:owner[:cell],…")
    ] = None,
    escrow_epochs: Annotated[int, typer.Option(min=0, help="Rewards vest so many epochs after they were earned.")] = 0,
    issuer_cap_bps: Annotated[int, typer.Option(min=0, max=10_000, help="The most of a pot for assets that one issuer attests.")] = 10_000,
    cell_cap_bps: Annotated[int, typer.Option(min=0, max=10_000, help="The most of a pot for assets in one cell.")] = 10_000,
    cell_resolution: Annotated[int, typer.Option(min=0, max=15, help="H3 resolution of those cells.")] = 5,
    fade_from_epoch: Annotated[
        int | None, typer.Option(min=0, max=NEVER, help="From here on bootstrap pots shrink, until the sunset.")
    ] = None,
    sunset_epoch: Annotated[int | None, typer.Option(min=0, max=NEVER, help="From here on they pay nothing; never if unsaid.")] = None,
    usage_k_bps: Annotated[
        int, typer.Option(min=0, max=9_999, help="Of what is burned for paid service, so much is paid as a reward.")
    ] = 0,
    late_epochs: Annotated[int, typer.Option(min=1, help="Lines older than so many epochs are refused.")] = 7,
    json: Json = False,
) -> None:
    """Make a policy with its limit tables; its hash goes on chain."""
    from subak.cli.found import Wishes, run_policy_build
    from subak.core.nouns import Bootstrap

    if fade_from_epoch is not None and (sunset_epoch is None or fade_from_epoch > sunset_epoch):
        raise typer.BadParameter("pots fade from an epoch on until their sunset: name --sunset-epoch too, not before --fade-from-epoch")
    fade, sunset = (NEVER if each is None else each for each in (fade_from_epoch, sunset_epoch))
    bootstrap = Bootstrap(escrow_epochs, issuer_cap_bps, cell_cap_bps, cell_resolution, fade, sunset)
    wishes = Wishes(
        kinds, first or "", last or "", cells or "", assets, parameters or "", requires or "", bootstrap, usage_k_bps, late_epochs
    )
    raise typer.Exit(run_policy_build(out, wishes, json))


@attest.command("give")
def attest_give(
    subject: Subject,
    topic: Topic,
    network: NetworkFile,
    key: IssuerKey,
    days: Annotated[int, typer.Option(min=1, max=100_000, help="How long it holds.")],
    json: Json = False,
) -> None:
    """Vouch for an asset or account."""
    from subak.cli.vouching import run_give

    raise typer.Exit(run_give(network, key, subject, topic, days, json))


@attest.command("revoke")
def attest_revoke(subject: Subject, topic: Topic, network: NetworkFile, key: IssuerKey, json: Json = False) -> None:
    """Take one's word back."""
    from subak.cli.vouching import run_revoke

    raise typer.Exit(run_revoke(network, key, subject, topic, json))


@attest.command("list")
def attest_list(
    network: NetworkFile,
    topic: Annotated[str | None, typer.Option(help="For issuers of one topic: only this one.")] = None,
    subject: Annotated[str | None, typer.Option(help="For owners: only about this asset or account, 0x…")] = None,
    issuer: Annotated[str | None, typer.Option(help="For an issuer: only its own words, 0x…")] = None,
    json: Json = False,
) -> None:
    """Name issuers, and what they say that was not taken back."""
    from subak.cli.vouching import run_list

    raise typer.Exit(run_list(network, topic or "", subject or "", issuer or "", json))
