"""Commands of whoever watches the verifiers, without stake."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from subak.cli.options import AccountKey, ArchiveUrl, Json, NetworkFile, RpcUrl

clerk = typer.Typer(help="Verifiers as clerks of customers' vouchers.", no_args_is_help=True)


def watch(
    archive: ArchiveUrl,
    rpc: RpcUrl,
    key: AccountKey,
    folder: Annotated[Path, typer.Option(help="The watcher's own files and state.", file_okay=False)] = Path("watch"),
    most_bond: Annotated[str, typer.Option(help="The most tokens lost and at risk together; no limit if unsaid.")] = "",
    once: Annotated[bool, typer.Option("--once", help="Look once and end: 0 if all is right, 1 if something is not.")] = False,
    json: Json = False,
) -> None:
    """Settle every epoch again as it is proposed, and contest by itself what differs."""
    from subak.cli.watching import run_watch

    raise typer.Exit(run_watch(archive, rpc, key, folder, most_bond, once, json))


def prove_omission(
    archive: ArchiveUrl,
    rpc: RpcUrl,
    outbox: Annotated[Path | None, typer.Option(help="A host's outbox: its Entries are looked for.", exists=True, dir_okay=False)] = None,
    promise: Annotated[
        Path | None, typer.Option(help="JSON with acknowledgement, digests and entry, in place of an outbox.", exists=True, dir_okay=False)
    ] = None,
    verify: Annotated[Path | None, typer.Option(help="Check such evidence from public data.", exists=True, dir_okay=False)] = None,
    out: Annotated[Path, typer.Option(help="Folder that evidence is written to.", file_okay=False)] = Path(),
    json: Json = False,
) -> None:
    """Show who left out an Entry that a verifier promised to list."""
    if [outbox, promise, verify].count(None) != 2:
        raise typer.BadParameter("name one of --outbox, --promise and --verify")
    from subak.cli.watching import run_prove_omission, run_verify_omission

    if verify is not None:
        raise typer.Exit(run_verify_omission(verify, archive, rpc, json))
    raise typer.Exit(run_prove_omission(outbox, promise, archive, rpc, out, json))


@clerk.command("accuse")
def clerk_accuse(
    ledger: Annotated[Path, typer.Argument(help="A host's ledger.sqlite, which keeps vouchers.", exists=True, dir_okay=False)],
    network: NetworkFile,
    key: AccountKey,
    json: Json = False,
) -> None:
    """Take the stake of clerks that contradicted themselves, and have harmed owners paid."""
    from subak.cli.watching import run_clerk_accuse

    raise typer.Exit(run_clerk_accuse(ledger, network, key, json))
