"""Table of contents: every command by the person who needs it, newcomers first. Heavy imports wait until a command runs."""

from __future__ import annotations

import sys
from collections.abc import Callable

import typer

from subak.cli import auditors, customers, founders, investors, members, networks, operators, owners, simulating, verifiers, watchers
from subak.cli.groups import in_order

COMMANDS: dict[str, dict[str, typer.Typer | Callable[..., None]]] = {
    "Newcomers": {"up": operators.up, "doctor": operators.doctor},
    "Hosts and owners": {"host": owners.host, "assets": owners.assets, "statement": auditors.statement, "claim": auditors.claim},
    "Customers": {
        "wallet": customers.wallet,
        "channel": customers.channel,
        "lane": customers.lane,
        "customer": customers.customer,
        "bill": customers.bill,
        "store": customers.store,
    },
    "Builders and investors": {"raise": investors.raises, "shares": investors.shares},
    "Members": {"proposal": members.proposal, "vote": members.vote, "delegate": members.delegate},
    "Founders and issuers": {"network": networks.network, "policy": founders.policy, "attest": founders.attest},
    "Verifiers and auditors": {
        "verifier": operators.verifier,
        "stake": verifiers.stake,
        "explorer": operators.explorer,
        "check": auditors.check,
        "simulate": simulating.simulate,
        "watch": watchers.watch,
        "prove-omission": watchers.prove_omission,
        "clerk": watchers.clerk,
        "epoch": auditors.epoch,
    },
}
"""Title of a panel of ``subak --help``, name of a command or group, and what runs it."""

app = typer.Typer(
    name="subak",
    cls=in_order([name for entries in COMMANDS.values() for name in entries]),
    help="Run, join and check physical-infrastructure networks that their contributors own.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for title, entries in COMMANDS.items():
    for name, entry in entries.items():
        if isinstance(entry, typer.Typer):
            app.add_typer(entry, name=name, rich_help_panel=title)
        else:
            app.command(name, rich_help_panel=title)(entry)
app.add_typer(operators.lab, name="lab", hidden=True)


def main() -> None:
    """Run the door; known faults are one line with their remedy, not a traceback."""
    try:
        app()
    except Exception as fault:
        from subak.cli.faults import in_words

        words = in_words(fault)
        if words is None:
            raise
        typer.secho(words, fg="red", err=True)
        sys.exit(1)
