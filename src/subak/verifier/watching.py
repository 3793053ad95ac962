"""Watching, as anyone can without stake: settle again whatever is opened, compare it with what is proposed, and contest what differs.

Nothing is believed: facts come from the chain, files are checked against hashes on it, the state is the watcher's own. What a watcher did
stands on the chain, so it can be stopped anywhere and begun again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from subak.archive.books import BookRefused, write_state
from subak.archive.files import sync_folder
from subak.archive.store import Archive, ArchiveError, FolderArchive, NotThere, content_hash
from subak.archive.tables import parse_parquet, read_tables, write_tables
from subak.chain import succession
from subak.chain.accounts import Account
from subak.chain.challenges import Challenges, Leaf, Proposal
from subak.chain.contracts import ChainRefused, Sender
from subak.chain.rpc import Rpc
from subak.chain.settlement import Opened, Pending, SettlementView
from subak.chain.settlement import Settlement as Chain
from subak.chain.snapshot import Finalised, Follower
from subak.core.canon.typed_data import EpochRoot, result_hash
from subak.core.nouns import Network, State
from subak.core.nouns.state import ACCOUNTS
from subak.core.settlement import payout_tree
from subak.core.settlement.money import to_ints
from subak.kinds.registry import KindMismatch
from subak.verifier.faults import Faults
from subak.verifier.journal import Journal
from subak.verifier.judge import Judge
from subak.verifier.peers import Peers

PATIENCE = 4
"""A file may be late: after 1/PATIENCE of the window the network is asked for it, in the last 1/PATIENCE the result is contested."""


class WalletTooSmall(RuntimeError):
    """The watcher's account cannot pay what watching may take; the text says how much is missing."""


@dataclass(frozen=True)
class Told:
    """Something that happened."""

    event: str
    """Its name: settled, same, differs, missing, disproved, challenged, data_challenged, escalated, rejected, short, limit, final,
    succeeded, and what ``Faults`` does: equivocation, punished, bonds, adjusted, pruned."""
    words: str
    """For people."""
    facts: Mapping[str, Any]
    """For programs: plain values, hashes as 0x hex, amounts as text."""


class Sources(Peers):
    """Public archives, and the verifiers that the network names."""

    def __init__(self, network: Network, archives: Sequence[Archive]) -> None:
        """``archives`` are asked first."""
        super().__init__(network)
        self._archives = [*archives, *(peer.archive for peer in self._peers)]

    def reachable(self) -> bool:
        """Whether any archive answers: if none does, it is this machine that has no network."""
        for archive in self._archives:
            try:
                if archive.has("network.json"):
                    return True
            except ArchiveError:
                continue
        return False

    def get(self, path: str) -> bytes:
        """A file's bytes, whatever they are. Errors: NotThere."""
        for archive in self._archives:
            try:
                return archive.get(path)
            except ArchiveError:
                continue
        raise NotThere(path, "any archive")

    def fetch(self, path: str, sha: bytes, into: Archive) -> None:
        if into.has(path):
            return
        for archive in self._archives:
            try:
                raw = archive.get(path)
            except ArchiveError:
                continue
            if content_hash(raw) == sha:
                into.put(path, raw)
                return
        raise NotThere(path, "any archive")

    def fetch_tables(self, folder: str, name: bytes, into: Archive) -> None:
        if into.has(f"{folder}/{name.hex()}/manifest.json"):
            return
        for archive in self._archives:
            try:
                write_tables(into, folder, read_tables(archive, folder, name))
            except ArchiveError:
                continue
            return
        raise NotThere(f"{folder}/{name.hex()}/manifest.json", "any archive")


class Watcher(Judge):
    """Follows one network from a folder of its own.

    Promises: at most one bond for each doubt, whatever stops it in between; never more than ``most_bond`` lost and at risk together; no
    contest while it cannot tell, as without network or with other rules than the policy's.
    """

    def __init__(
        self,
        network: Network,
        folder: Path,
        account: Account,
        rpc: Rpc,
        archives: Sequence[Archive],
        most_bond: int | None = None,
        say: Callable[[Told], None] = lambda told: None,
    ) -> None:
        """``account`` pays bonds and gas; ``most_bond`` is in token units, None for no limit; ``say`` hears each thing once."""
        sender = Sender(rpc, account)
        self._sources = Sources(network, archives)
        chain, follower = Chain(rpc, network.contracts, sender), Follower(rpc, network.contracts, network.clock)
        super().__init__(network, FolderArchive(folder / "archive"), self._sources, chain, follower)
        self._rpc, self._sender, self._most_bond, self._say = rpc, sender, most_bond, say
        self._challenges = Challenges(rpc, network.contracts, sender)
        self._token = self._challenges.token()
        of = succession.folder_of(rpc, network.contracts)
        self._results = folder / "results" / of
        self._results.mkdir(parents=True, exist_ok=True)
        self._said: set[object] = set()
        self._tried: set[object] = set()
        peers = self._sources if network.nodes.verifiers else None
        self._faults = Faults(network, rpc, sender, Journal(folder / "journal", of), peers, self._own, self._tell_deed)

    def require_wallet(self) -> None:
        """Errors: WalletTooSmall, with what is missing for one challenge and a question for data, or for gas. Bonds of disputes that run
        count as there: whoever doubted before must be able to go on."""
        needed = self._challenges.bond_now() + self._challenges.data_fee()
        held = self._token.balance(self._sender.address) + self._bonded_and_lost()[0]
        symbol, decimals = self._token.written()
        if held < needed:
            missing, has, wants = (f"{amount / 10**decimals:g}" for amount in (needed - held, held, needed))
            raise WalletTooSmall(
                f"0x{self._sender.address.hex()} holds {has} {symbol}; a challenge and a question for data take {wants}: "
                f"{missing} {symbol} ({needed - held} units) are missing"
            )
        if not self._rpc.balance(self._sender.address):
            raise WalletTooSmall(f"0x{self._sender.address.hex()} has none of the chain's own coin: send it some for gas")

    def tick(self) -> bool:
        """Look at the chain and do what is due; whether all is as it comes out here.

        Errors: ArchiveError, RpcError, RpcUnreachable, NotMined and ChainForgot mean "not now": call again. KindMismatch: these rules are
        not installed here, so nothing can be said.
        """
        self._note_finals()
        view = self.chain.view()
        self._faults.tick(view)
        behind = succession.behind(self._rpc, self.network.contracts, "start `subak watch` again, which goes on with the new one")
        if behind:
            self._tell("succeeded", behind, behind, {})
            return True
        opened = view.opened
        if opened is None or (view.pending is None and view.contest is None and not view.open_now):
            return True
        judged = self._judge(view, opened)
        if view.contest is not None and view.block.timestamp >= view.contest.deadline_unix_s:
            self._reject(opened)
        if view.pending is None:
            return not isinstance(judged, str)
        if isinstance(judged, NotThere):
            return self._ask_for(view, opened, view.pending, judged.path)
        if isinstance(judged, EpochRoot) and result_hash(judged) == view.pending.result:
            words = f"{_range(opened)}: what is proposed is what comes out here"
            self._tell("same", words, (*_name(opened), view.pending.round), _facts(opened, view.pending.round, view.pending.result))
            return True
        return self._oppose(view, opened, view.pending, judged)

    def at_risk(self) -> int:
        """Token units that this account put behind doubts, or burned for them, and that did not come back, ever."""
        return sum(self._bonded_and_lost())

    def _bonded_and_lost(self) -> tuple[int, int]:
        me, fee, bonded, lost = self._sender.address, self._challenges.data_fee(), 0, 0
        names = ("ChallengeOpened", "EscalationOpened", "DataChallenged", "BondSettled")
        for event in self._challenges.events(0, self._rpc.block().number, names):
            told = event.values
            if event.name == "DataChallenged":
                lost += fee if told["challenger"] == me else 0
            elif event.name == "BondSettled" and told["to"] == me:
                bonded -= told["amount"]
                lost += told["amount"] if told["burned"] else 0
            elif me in (told.get("challenger"), told.get("escalator")):
                bonded += told["bond"]
        return bonded, lost

    def _judge(self, view: SettlementView, opened: Opened) -> EpochRoot | NotThere | str:
        """What the opened Books come to; which file is missing; or why nobody should settle them."""
        kept = self._results / f"{opened.books_hash.hex()}-{view.state_root.hex()}.json"
        if kept.exists():
            return msgspec.json.decode(kept.read_bytes(), type=EpochRoot)
        try:
            settled = self._settle(view, opened)
        except NotThere as missing:
            if "/" not in missing.path or not self._sources.reachable():
                raise
            return missing
        except KindMismatch:
            raise
        except (BookRefused, ValueError, OverflowError, msgspec.MsgspecError, pl.exceptions.PolarsError) as refused:
            return str(refused)
        # The next range is settled from this state, not from one that somebody publishes.
        write_state(self.archive, settled.settlements[-1].state)
        _keep(kept, msgspec.json.encode(settled.message, enc_hook=bytes))
        self._settled.clear()
        words = f"{_range(opened)}: settled here, payout root 0x{settled.message.root.hex()}"
        self._tell("settled", words, _name(opened), _facts(opened, 0, settled.result))
        return settled.message

    def _own(self, first: int, attempt: int) -> bytes | None:
        """What the Books that were opened in an attempt came to here, in this run or an earlier one."""
        books = self.follower.opened_books(first, attempt)
        return next((result_hash(each) for each in self._kept() if (each.first, each.book_hashes) == (first, books)), None)

    def _kept(self) -> list[EpochRoot]:
        return [msgspec.json.decode(each.read_bytes(), type=EpochRoot) for each in sorted(self._results.glob("*.json"))]

    def _on_final(self, final: Finalised) -> None:
        known = [each for each in self._kept() if each.first == final.first and each.book_hashes == final.book_hashes]
        told = self._results / f"{final.first}-{final.root.hex()}.final"
        if known and not told.exists():
            same = any((each.root, each.state_root, each.last) == (final.root, final.state_root, final.last) for each in known)
            words = f"epochs {final.first} to {final.last}: final, {'as settled here' if same else 'and NOT what comes out here'}"
            facts = {"first": final.first, "last": final.last, "same": same, "root": "0x" + final.root.hex()}
            self._tell("final", words, (final.first, final.last, final.root), facts)
            _keep(told, b"")

    def _oppose(self, view: SettlementView, opened: Opened, pending: Pending, judged: EpochRoot | str) -> bool:
        """Always False: something is wrong."""
        proposal = self._faults.proposal(opened.first, pending.attempt, pending.round)
        why = _why(judged, proposal)
        words = f"{_range(opened)}: what is proposed in round {pending.round} differs: {why}"
        facts = {**_facts(opened, pending.round, pending.result), "why": why}
        self._tell("differs", words, (*_name(opened), pending.round, pending.result), facts)
        if view.block.timestamp >= pending.deadline_unix_s:
            return False
        if self._disprove(view, opened, pending, proposal):
            return False
        if pending.round == 0:
            self._contest(opened, why)
        elif not pending.escalated:
            amount = self._challenges.escalation_bond()
            name = (opened.first, pending.attempt)
            self._doubt("escalated", opened, amount, "governance is asked to strike it", lambda: self._challenges.escalate(*name))
        return False

    def _contest(self, opened: Opened, why: str) -> None:
        amount = self._challenges.bond_now()
        name = (opened.first, opened.attempt)
        self._doubt("challenged", opened, amount, "the verifiers judge its Books again", lambda: self._challenges.challenge(*name, why))

    def _ask_for(self, view: SettlementView, opened: Opened, pending: Pending, path: str) -> bool:
        """A file that nobody has: wait a while, ask for it, then contest what nobody can check. Always False."""
        facts = {**_facts(opened, pending.round, pending.result), "path": path}
        self._tell("missing", f"{_range(opened)}: no archive has {path}", (*_name(opened), path), facts)
        left, window = pending.deadline_unix_s - view.block.timestamp, self.network.clock.challenge_seconds
        if pending.escalated or left <= 0:
            return False
        extended = self._challenges.dispute(opened.first, opened.attempt).extended
        name = (opened.first, opened.attempt)
        if not extended and left <= window - window // PATIENCE:
            fee = self._challenges.data_fee()
            words = f"the network is asked for {path}"
            self._doubt("data_challenged", opened, fee, words, lambda: self._challenges.challenge_data(*name, path))
        elif extended and pending.round == 0 and left <= window // PATIENCE:
            self._contest(opened, f"no archive has {path}")
        return False

    def _doubt(self, event: str, opened: Opened, amount: int, words: str, send: Callable[[], object]) -> None:
        """Pay what it takes, and say so. Whoever was first did the same."""
        balance = self._token.balance(self._sender.address)
        facts = {**_facts(opened), "amount": str(amount)}
        if balance < amount:
            missing = f"{_range(opened)}: {amount - balance} token units are missing for what this takes, {amount}: nothing is done"
            self._tell("short", missing, (*_name(opened), event, balance), {**facts, "missing": str(amount - balance)})
            return
        if self._most_bond is not None and (risk := self.at_risk()) + amount > self._most_bond:
            over = f"{_range(opened)}: this takes {amount} token units, {risk} are at risk or lost, the limit is {self._most_bond}"
            self._tell("limit", over, (*_name(opened), event), {**facts, "at_risk": str(risk), "most_bond": str(self._most_bond)})
            return
        self._approve(amount)
        try:
            send()
        except ChainRefused as refused:
            self._approve(0)
            self._tell("refused", f"{_range(opened)}: {refused}", (*_name(opened), event, str(refused)), facts)
            return
        self._tell(event, f"{_range(opened)}: {words}, for {amount} token units", (*_name(opened), event), facts)

    def _approve(self, amount: int) -> None:
        """Exactly this much may be taken."""
        allowed = self._token.allowance(self._sender.address, self._challenges.contract.address)
        for each in ([0] if allowed and amount else []) + [amount] if allowed != amount else []:
            self._sender.send(self._token.contract, "approve", self._challenges.contract.address, each)

    def _disprove(self, view: SettlementView, opened: Opened, pending: Pending, proposal: Proposal | None) -> bool:
        """Strike it by its own leaves, which takes no bond; whether that was possible. Tried once."""
        tried = (*_name(opened), pending.result)
        if proposal is None or tried in self._tried:
            return False
        accounts = self._published_accounts(proposal.message)
        if accounts is None:
            return False  # leaves may still be published
        self._tried.add(tried)
        found = duplicate_leaf(accounts) or self._lowered(view, accounts)
        if found is None:
            return False
        kind, one, other = found
        try:
            if kind == "duplicate":
                self._challenges.disprove_duplicate(proposal.message, pending.attempt, one, other)
            else:
                self._challenges.disprove_lowered(proposal.message, pending.attempt, one, other)
        except ChainRefused as refused:
            self._tell("refused", f"{_range(opened)}: {refused}", (*tried, str(refused)), _facts(opened, pending.round, pending.result))
            return False
        words = f"{_range(opened)}: disproved by a {kind} leaf of 0x{one.account.hex()}"
        facts = {**_facts(opened, pending.round, pending.result), "kind": kind, "account": "0x" + one.account.hex()}
        self._tell("disproved", words, tried, facts)
        return True

    def _lowered(self, view: SettlementView, accounts: pl.DataFrame) -> tuple[str, Leaf, Leaf] | None:
        final = self._final_state()
        return lowered_leaf(final.accounts, accounts) if any(view.root) and payout_tree(final).root == view.root else None

    def _published_accounts(self, message: EpochRoot) -> pl.DataFrame | None:
        """The leaves under a proposed root, from the state that is published for it or by themselves."""
        candidates = []
        try:
            self._sources.fetch_tables("state", message.state_root, self.archive)
            candidates.append(read_tables(self.archive, "state", message.state_root).get("accounts"))
        except (ArchiveError, ValueError):
            pass
        try:
            path = f"leaves/{message.root.hex()}.parquet"
            candidates.append(parse_parquet(self._sources.get(path), path, schema=pl.Schema(ACCOUNTS)))
        except (ArchiveError, ValueError):
            pass
        for accounts in candidates:
            if accounts is not None and dict(accounts.schema) == ACCOUNTS and _tree(accounts).root == message.root:
                return accounts
        return None

    def _reject(self, opened: Opened) -> None:
        """Round 1 is over and nobody proposed in it: anyone may say so, and bonds go back."""
        try:
            self.chain.reject()
        except ChainRefused:
            return
        self._tell("rejected", f"{_range(opened)}: rejected, nobody judged it again in time", _name(opened), _facts(opened))

    def _tell_deed(self, event: str, words: str) -> None:
        self._say(Told(event, words, {}))

    def _tell(self, event: str, words: str, key: object, facts: Mapping[str, Any]) -> None:
        if (event, key) not in self._said:
            self._said.add((event, key))
            self._say(Told(event, words, facts))


def duplicate_leaf(accounts: pl.DataFrame) -> tuple[str, Leaf, Leaf] | None:
    """Two different leaves of one account; None if each has one."""
    rows = accounts.with_row_index("row").filter(pl.col("account").is_duplicated())
    for _, same in rows.group_by("account", maintain_order=True):
        different = same.unique(["rewards", "fees"], maintain_order=True)["row"].to_list()
        if len(different) > 1:
            one, other = _leaves(accounts, different[:2])
            return "duplicate", one, other
    return None


def lowered_leaf(final: pl.DataFrame, accounts: pl.DataFrame) -> tuple[str, Leaf, Leaf] | None:
    """An account's final leaf, and its lower one; None if none falls."""
    joined = final.with_row_index("row").join(accounts.with_row_index("row"), on="account", how="inner", suffix="_now")
    fallen = joined.filter((pl.col("rewards_now") < pl.col("rewards")) | (pl.col("fees_now") < pl.col("fees")))
    if not len(fallen):
        return None
    first = fallen.row(0, named=True)
    return "lowered", _leaves(final, [first["row"]])[0], _leaves(accounts, [first["row_now"]])[0]


def _leaves(accounts: pl.DataFrame, rows: Sequence[int]) -> list[Leaf]:
    tree, some = _tree(accounts), accounts[list(rows)]
    totals = zip(some["account"].to_list(), to_ints(some["rewards"]), to_ints(some["fees"]), rows, strict=True)
    return [Leaf(account, rewards, fees, tree.proof(row)) for account, rewards, fees, row in totals]


def _tree(accounts: pl.DataFrame) -> Any:
    return payout_tree(replace(State.genesis(), accounts=accounts))


def _why(judged: EpochRoot | str, proposal: Proposal | None) -> str:
    if isinstance(judged, str):
        return judged
    here = f"0x{result_hash(judged).hex()} comes out here"
    if proposal is None:
        return here
    names = [each.name for each in fields(EpochRoot) if getattr(judged, each.name) != getattr(proposal.message, each.name)]
    return f"{here}, it differs in {', '.join(names)}"


def _name(opened: Opened) -> tuple[int, int, bytes]:
    return opened.first, opened.attempt, opened.books_hash


def _range(opened: Opened) -> str:
    epochs = f"epoch {opened.first}" if opened.first == opened.last else f"epochs {opened.first} to {opened.last}"
    return f"{epochs}, attempt {opened.attempt}"


def _facts(opened: Opened, round_: int | None = None, result: bytes | None = None) -> dict[str, Any]:
    told: dict[str, Any] = {"first": opened.first, "last": opened.last, "attempt": opened.attempt}
    told |= {} if round_ is None else {"round": round_}
    return told | ({} if result is None else {"result": "0x" + result.hex()})


def _keep(path: Path, raw: bytes) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_bytes(raw)
    fresh.rename(path)
    sync_folder(path.parent)
