"""Commands of members: what is proposed, what it would have done, and how they vote."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from subak.cli.options import AccountKey, ArchiveUrl, Json, NetworkFile

proposal = typer.Typer(help="What members decide about: read, replay, propose, carry out.", no_args_is_help=True)

Number = Annotated[int, typer.Argument(min=1, help="The proposal's number; `subak proposal list` names them.")]
Why = Annotated[str, typer.Option("--why", help="What voters read.")]
FromEpoch = Annotated[int, typer.Option(min=1, help="The epoch from which it acts; it must not have begun when the vote is carried out.")]


@proposal.command("list")
def list_(network: NetworkFile, json: Json = False) -> None:
    """Every proposal and how it stands."""
    from subak.cli.voting import run_list

    raise typer.Exit(run_list(network, json))


@proposal.command("show")
def show(number: Number, network: NetworkFile, json: Json = False) -> None:
    """What one would do, in words, and its votes."""
    from subak.cli.voting import run_show

    raise typer.Exit(run_show(network, number, json))


@proposal.command("replay")
def replay(
    number: Number,
    network: NetworkFile,
    archive: ArchiveUrl,
    epochs: Annotated[int, typer.Option(min=1, max=64, help="How many of the last final epochs are settled again.")] = 7,
    policy: Annotated[
        Path | None, typer.Option(help="The proposed policy's document; left away, the archive's.", exists=True, dir_okay=False)
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the replay here, for others to compare.", dir_okay=False)] = None,
    json: Json = False,
) -> None:
    """Settle the last epochs again under it: who would have got more, who less."""
    from subak.cli.voting import run_replay

    raise typer.Exit(run_replay(network, number, archive, epochs, policy, out, json))


@proposal.command("policy")
def policy(
    document: Annotated[Path, typer.Argument(help="The policy's document, as `subak policy build` wrote it.", exists=True, dir_okay=False)],
    from_epoch: FromEpoch,
    network: NetworkFile,
    key: AccountKey,
    why: Why,
    json: Json = False,
) -> None:
    """Propose a policy. Its document must be in an archive before the epoch begins."""
    from subak.cli.voting import run_policy

    raise typer.Exit(run_policy(network, key, document, from_epoch, why, json))


@proposal.command("weights")
def weights(
    pools: Annotated[str, typer.Argument(help="Each pool's share in basis points: energy=9000,verifiers=1000")],
    from_epoch: FromEpoch,
    network: NetworkFile,
    key: AccountKey,
    why: Why,
    json: Json = False,
) -> None:
    """Propose other shares of the budget."""
    from subak.cli.voting import run_weights

    raise typer.Exit(run_weights(network, key, pools, from_epoch, why, json))


@proposal.command("grant")
def grant(
    to: Annotated[str, typer.Argument(help="Who gets it, 0x…")],
    amount: Annotated[str, typer.Argument(help="How much, in the payment asset.")],
    network: NetworkFile,
    key: AccountKey,
    why: Why,
    json: Json = False,
) -> None:
    """Propose a payment from the treasury; a month's grants have a cap."""
    from subak.cli.voting import run_grant

    raise typer.Exit(run_grant(network, key, to, amount, why, json))


@proposal.command("expel")
def expel(
    owner: Annotated[str, typer.Argument(help="Owner of the verifier's stake, 0x…")],
    network: NetworkFile,
    key: AccountKey,
    why: Why,
    json: Json = False,
) -> None:
    """Propose that somebody verifies no longer."""
    from subak.cli.voting import run_expel

    raise typer.Exit(run_expel(network, key, owner, why, json))


@proposal.command("punish")
def punish(
    owner: Annotated[str, typer.Argument(help="Owner of the verifier's stake, 0x…")],
    bps: Annotated[int, typer.Argument(min=1, max=2_000, help="How much of the stake burns, in basis points.")],
    evidence: Annotated[Path, typer.Option(help="The document that shows it, as `subak prove-omission` writes one.", exists=True)],
    network: NetworkFile,
    key: AccountKey,
    why: Why,
    json: Json = False,
) -> None:
    """Propose that a verifier pays for what a document shows."""
    from subak.cli.voting import run_punish

    raise typer.Exit(run_punish(network, key, owner, bps, evidence, why, json))


@proposal.command("strike")
def strike(
    first: Annotated[int, typer.Argument(min=0, help="First epoch of the escalated range.")],
    attempt: Annotated[int, typer.Argument(min=0, help="Its attempt.")],
    network: NetworkFile,
    key: AccountKey,
    why: Why,
    slash_bps: Annotated[int, typer.Option(min=0, max=10_000, help="What its signers lose, in basis points of their stakes.")] = 10_000,
    json: Json = False,
) -> None:
    """Propose to strike an escalated result."""
    from subak.cli.voting import run_strike

    raise typer.Exit(run_strike(network, key, first, attempt, slash_bps, why, json))


@proposal.command("queue")
def queue(number: Number, network: NetworkFile, key: AccountKey, json: Json = False) -> None:
    """Let what passed wait in the timelock; anyone can."""
    from subak.cli.voting import run_carry

    raise typer.Exit(run_carry(network, key, number, "queue", json))


@proposal.command("execute")
def execute(number: Number, network: NetworkFile, key: AccountKey, json: Json = False) -> None:
    """Do what passed and waited; anyone can."""
    from subak.cli.voting import run_carry

    raise typer.Exit(run_carry(network, key, number, "execute", json))


def vote(
    number: Number,
    say: Annotated[str, typer.Argument(help="for, against or abstain; who abstains counts for the quorum.")],
    network: NetworkFile,
    key: AccountKey,
    json: Json = False,
) -> None:
    """Vote on a proposal with the tokens that are delegated to the account."""
    from subak.cli.voting import run_vote

    raise typer.Exit(run_vote(network, key, number, say, json))


def delegate(
    network: NetworkFile,
    key: AccountKey,
    to: Annotated[str, typer.Argument(help="Who votes with the account's tokens, 0x…; left away, the account itself.")] = "",
    json: Json = False,
) -> None:
    """Name who votes with your tokens; until you name somebody they vote nothing."""
    from subak.cli.voting import run_delegate

    raise typer.Exit(run_delegate(network, key, to, json))
