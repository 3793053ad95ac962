"""Commands that need nothing but an archive and a chain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from subak.archive.books import read_state
from subak.archive.store import HttpArchive
from subak.chain.accounts import Account
from subak.chain.contracts import Sender
from subak.chain.rpc import Rpc
from subak.chain.settlement import Settlement as Chain
from subak.chain.snapshot import Finalised, Follower
from subak.cli.units import address, currencies, hex_bytes, hexed, table, tell
from subak.core.nouns import Network
from subak.core.settlement.money import to_ints
from subak.core.settlement.roots import payout_tree


def run_check(epoch: int, archive: str, rpc: str, json: bool) -> int:
    """0: same root. 1: something differs."""
    from subak.verifier.checking import check

    console = Console(stderr=True)
    with console.status("") as status:
        result = check(epoch, HttpArchive(archive), Rpc(rpc), status.update)
    typer.echo(msgspec.json.encode(result.as_dict()).decode() if json else result.words())
    return 0 if result.passed else 1


def run_statement(asset: str, archive: str, rpc: str, json: bool) -> int:
    """What the owner of an asset wants to know."""
    from subak.explorer.statements import in_words, statement

    told = statement(hex_bytes(asset, 32, "the asset"), HttpArchive(archive), Rpc(rpc))
    typer.echo(msgspec.json.encode(told.as_dict()).decode() if json else in_words(told))
    return 0


def run_earnings(account: str, year: int, rates_file: Path | None, archive: str, rpc: str, as_csv: bool, json: bool) -> int:
    """What an account earned in a year, for a tax return."""
    from subak.explorer.earnings import VALUED, Rates, account_earnings

    rates = Rates.read(rates_file) if rates_file is not None else None
    columns = (TextColumn("reading final epochs"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=json or not console.is_terminal) as progress:
        task = progress.add_task("", total=None)
        found = account_earnings(
            address(account), year, HttpArchive(archive), Rpc(rpc), lambda done, total: progress.update(task, completed=done, total=total)
        )
    if as_csv:
        typer.echo(found.as_csv(rates), nl=False)
        return 0
    told = found.as_dict(rates)
    titles = ("date", "epochs", "asset", "what", "amount", "currency", *(("value",) if rates else ()))
    rows = []
    for row in told["earnings"]:
        first, last = row["first_epoch"], row["last_epoch"]
        asset = f"{row['asset'][:14]}…" if row["asset"] else "several"
        worth = (row[VALUED[-1]],) if rates else ()
        rows.append(
            (row["date"], f"{first}" if first == last else f"{first}–{last}", asset, row["what"], row["amount"], row["currency"], *worth)
        )
    words = [table(titles, rows, frozenset({4, 6} if rates else {4}))] if rows else []
    for what, total in told["totals"].items():
        value = f", worth {total['value']}" if rates else ""
        words.append(f"{what} of {year}: {total['amount']} {total['currency']}{value}")
    tell(json, told, "\n".join(words))
    return 0


def run_claim(account: str, archive: str, rpc: str, key: Path, json: bool) -> int:
    """Pay out what the last final root owes; and, where votes replaced Settlements, what the last one of each does."""
    from subak.chain.succession import lineage

    who = address(account)
    files, node = HttpArchive(archive), Rpc(rpc)
    network, sender = read_network(files, node), Sender(node, Account.load(key))
    finals = finals_of(network, node)
    if not finals:
        typer.echo("no epoch is final yet: nothing can be claimed", err=True)
        return 1
    claimed = []
    for contracts in lineage(node, network.contracts):
        last = next((each for each in reversed(finals) if each.settlement == contracts.settlement), None)
        found = _claimed(who, Chain(node, contracts, sender), files, last) if last is not None else None
        if found is not None:
            claimed.append({"settlement": hexed(contracts.settlement), **found})
    if not claimed:
        typer.echo(f"{account} has earned nothing up to epoch {finals[-1].last}", err=True)
        return 1
    written = currencies(node, network)
    named = (("rewards", written.token), ("fees", written.payment))
    words = []
    for each in claimed:
        where = f" (in the Settlement {each['settlement']})" if len(claimed) > 1 else ""
        for name, currency in named:
            now, ever, before = (currency.words(int(each[name][part])) for part in ("paid", "total", "taken_before"))
            words.append(f"paid {now} of {name} to {account}: {ever} earned ever, {before} taken before{where}")
    earlier = [each for each in claimed if each["settlement"] != hexed(network.contracts.settlement)]
    nothing = dict.fromkeys(("total", "taken_before", "paid"), "0")
    mine = next((each for each in claimed if each not in earlier), {name: nothing for name, _ in named})
    tell(json, {"account": account, **{name: mine[name] for name, _ in named}, "earlier": earlier}, "\n".join(words))
    return 0


def _claimed(who: bytes, chain: Chain, archive: HttpArchive, final: Finalised) -> dict[str, Any] | None:
    """Take what an account is owed in one Settlement; None if it is owed nothing there, ever."""
    state = read_state(archive, final.state_root)
    accounts = state.accounts["account"].to_list()
    if who not in accounts:
        return None
    row = accounts.index(who)
    rewards, fees = to_ints(state.accounts["rewards"])[row], to_ints(state.accounts["fees"])[row]
    taken = chain.taken(who)
    proof = payout_tree(state).proof(row)
    if taken[0] < rewards:
        chain.claim(who, rewards, fees, proof)
    if taken[1] < fees:
        chain.claim_fees(who, rewards, fees, proof)
    sums = (("rewards", rewards, taken[0]), ("fees", fees, taken[1]))
    return {name: {"total": str(total), "taken_before": str(took), "paid": str(total - took)} for name, total, took in sums}


def run_export(epoch: int, leaves: Path, archive: str, rpc: str, json: bool) -> int:
    """The payout tree as @openzeppelin/merkle-tree dumps it."""
    files, node = HttpArchive(archive), Rpc(rpc)
    final = next((final for final in finals_of(read_network(files, node), node) if final.first <= epoch <= final.last), None)
    if final is None:
        typer.echo(f"epoch {epoch} is not final", err=True)
        return 1
    state = read_state(files, final.state_root)
    tree = payout_tree(state)
    if tree.root != final.root:
        typer.echo(f"the archive's state gives the root 0x{tree.root.hex()}, the chain holds 0x{final.root.hex()}", err=True)
        return 1
    values = [
        ["0x" + account.hex(), str(rewards), str(fees)]
        for account, rewards, fees in zip(
            state.accounts["account"].to_list(), to_ints(state.accounts["rewards"]), to_ints(state.accounts["fees"]), strict=True
        )
    ]
    leaves.write_bytes(msgspec.json.encode(tree.dump(["address", "uint256", "uint256"], values)))
    if json:
        typer.echo(
            msgspec.json.encode({"epoch": epoch, "root": "0x" + tree.root.hex(), "leaves": len(values), "file": str(leaves)}).decode()
        )
    else:
        typer.echo(f"epoch {epoch}: {len(values)} leaves under 0x{tree.root.hex()} in {leaves}")
    return 0


def read_network(archive: HttpArchive, rpc: Rpc) -> Network:
    """The network that the archive names, as far as the chain says the same. Errors: those of ``known_network``."""
    from subak.verifier.checking import known_network

    return known_network(archive, rpc)


def finals_of(network: Network, rpc: Rpc) -> list[Finalised]:
    """Ranges that ever became final on the chain."""
    return Follower(rpc, network.contracts, network.clock).history()
