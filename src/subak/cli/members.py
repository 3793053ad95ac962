"""Commands of members: what is proposed, what it would have done, and how they vote."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from subak.cli.options import AccountKey, Json, NetworkFile

if TYPE_CHECKING:
    from subak.cli.voting import Proposing

proposal = typer.Typer(help="What members decide about: read, replay, propose, carry out.", no_args_is_help=True)

Number = Annotated[int, typer.Argument(min=1, help="The proposal's number; `subak proposal list` names them.")]
Why = Annotated[str, typer.Option("--why", help="What voters read.")]
ProposerKey = Annotated[
    Path | None, typer.Option("--key", help="File of the account's key that proposes and pays the gas.", exists=True, dir_okay=False)
]
Calldata = Annotated[
    bool, typer.Option("--calldata", help="Send nothing; print what a multisig has to send. So it is where a multisig decides.")
]
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
    network: NetworkFile,
    archive: Annotated[
        str, typer.Option(help="Any verifier's archive, http://…/archive; or its folder, where the replay is then kept for everyone.")
    ],
    number: Annotated[
        int | None, typer.Argument(min=1, help="The proposal's number; left away, --policy and --pools say what nobody proposed yet.")
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, max=64, help="How many of the last final epochs are settled again.")] = 7,
    check: Annotated[bool, typer.Option("--check", help="Compute the replay that the archive keeps again: is it the same?")] = False,
    policy: Annotated[
        Path | None, typer.Option(help="The proposed policy's document; left away, the archive's.", exists=True, dir_okay=False)
    ] = None,
    pools: Annotated[str, typer.Option(help="Without a number: shares as in `subak proposal weights`.")] = "",
    out: Annotated[Path | None, typer.Option(help="Write the replay here, for others to compare.", dir_okay=False)] = None,
    json: Json = False,
) -> None:
    """Settle the last epochs again under it: who would have got more, who less, pool by pool, account by account."""
    from subak.cli.voting import Replaying, run_replay

    raise typer.Exit(run_replay(Replaying(network, number, archive, epochs, policy, pools, out, check), json))


@proposal.command("policy")
def policy(
    document: Annotated[Path, typer.Argument(help="The policy's document, as `subak policy build` wrote it.", exists=True, dir_okay=False)],
    from_epoch: FromEpoch,
    network: NetworkFile,
    why: Why,
    key: ProposerKey = None,
    calldata: Calldata = False,
    json: Json = False,
) -> None:
    """Propose a policy. Its document must be in an archive before the epoch begins."""
    from subak.cli.voting import run_policy

    raise typer.Exit(run_policy(_asked(network, key, why, calldata, json), document, from_epoch))


@proposal.command("weights")
def weights(
    pools: Annotated[str, typer.Argument(help="Each pool's share in basis points: energy=9000,verifiers=1000")],
    from_epoch: FromEpoch,
    network: NetworkFile,
    why: Why,
    key: ProposerKey = None,
    calldata: Calldata = False,
    json: Json = False,
) -> None:
    """Propose other shares of the budget."""
    from subak.cli.voting import run_weights

    raise typer.Exit(run_weights(_asked(network, key, why, calldata, json), pools, from_epoch))


@proposal.command("issuer")
def issuer(
    topic: Annotated[str, typer.Argument(help="What is attested: installed, licence …; `subak attest list` names the issuers.")],
    account: Annotated[str, typer.Argument(help="The issuer, 0x…")],
    network: NetworkFile,
    why: Why,
    remove: Annotated[bool, typer.Option("--remove", help="Its word counts no longer, also what it said before.")] = False,
    key: ProposerKey = None,
    calldata: Calldata = False,
    json: Json = False,
) -> None:
    """Propose whose word on a topic counts."""
    from subak.cli.voting import run_issuer

    raise typer.Exit(run_issuer(_asked(network, key, why, calldata, json), topic, account, remove))


@proposal.command("grant")
def grant(
    to: Annotated[str, typer.Argument(help="Who gets it, 0x…")],
    amount: Annotated[str, typer.Argument(help="How much, in the payment asset.")],
    network: NetworkFile,
    why: Why,
    token: Annotated[bool, typer.Option("--token", help="In the network's token in place of the payment asset.")] = False,
    key: ProposerKey = None,
    calldata: Calldata = False,
    json: Json = False,
) -> None:
    """Propose a payment from the treasury; a month's grants have a cap."""
    from subak.cli.voting import run_grant

    raise typer.Exit(run_grant(_asked(network, key, why, calldata, json), to, amount, token))


@proposal.command("expel")
def expel(
    owner: Annotated[str, typer.Argument(help="Owner of the verifier's stake, 0x…")],
    network: NetworkFile,
    why: Why,
    key: ProposerKey = None,
    calldata: Calldata = False,
    json: Json = False,
) -> None:
    """Propose that somebody verifies no longer."""
    from subak.cli.voting import run_expel

    raise typer.Exit(run_expel(_asked(network, key, why, calldata, json), owner))


@proposal.command("punish")
def punish(
    owner: Annotated[str, typer.Argument(help="Owner of the verifier's stake, 0x…")],
    bps: Annotated[int, typer.Argument(min=1, max=2_000, help="How much of the stake burns, in basis points.")],
    evidence: Annotated[Path, typer.Option(help="The document that shows it, as `subak prove-omission` writes one.", exists=True)],
    network: NetworkFile,
    why: Why,
    key: ProposerKey = None,
    calldata: Calldata = False,
    json: Json = False,
) -> None:
    """Propose that a verifier pays for what a document shows."""
    from subak.cli.voting import run_punish

    raise typer.Exit(run_punish(_asked(network, key, why, calldata, json), owner, bps, evidence))


@proposal.command("verifiers")
def verifiers(
    signers: Annotated[str, typer.Argument(help="All of them and how much each weighs: 0x…=1,0x…=1")],
    network: NetworkFile,
    why: Why,
    key: ProposerKey = None,
    calldata: Calldata = False,
    json: Json = False,
) -> None:
    """Propose who verifies, where the authority lists them and nobody stakes."""
    from subak.cli.voting import run_verifiers

    raise typer.Exit(run_verifiers(_asked(network, key, why, calldata, json), signers))


@proposal.command("strike")
def strike(
    first: Annotated[int, typer.Argument(min=0, help="First epoch of the escalated range.")],
    attempt: Annotated[int, typer.Argument(min=0, help="Its attempt.")],
    network: NetworkFile,
    why: Why,
    slash_bps: Annotated[int, typer.Option(min=0, max=10_000, help="What its signers lose, in basis points of their stakes.")] = 10_000,
    key: ProposerKey = None,
    calldata: Calldata = False,
    json: Json = False,
) -> None:
    """Propose to strike an escalated result."""
    from subak.cli.voting import run_strike

    raise typer.Exit(run_strike(_asked(network, key, why, calldata, json), first, attempt, slash_bps))


@proposal.command("succeed")
def succeed(
    settlement: Annotated[str, typer.Argument(help="The new Settlement, 0x…, deployed to follow the one that is served.")],
    network: NetworkFile,
    why: Why,
    key: ProposerKey = None,
    calldata: Calldata = False,
    json: Json = False,
) -> None:
    """Propose to announce a new Settlement with its Challenges; after the wait `subak network succeed` lets it take over."""
    from subak.cli.voting import run_succeed

    raise typer.Exit(run_succeed(_asked(network, key, why, calldata, json), settlement))


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


def _asked(network: Path, key: Path | None, why: str, calldata: bool, json: bool) -> Proposing:
    from subak.cli.voting import Proposing

    return Proposing(network, key, why, calldata, json)
