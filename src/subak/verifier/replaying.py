"""What a change of the rules would have done: the last epochs settled again under it, from public data; and such replays kept for everyone.

A kept replay is a file of the archive, one per proposal: docs/formats.md, Archive. What it says it is about is believed only as far as the
chain says the same; its sums are its keeper's word, which anyone can compute again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Annotated, Any

import msgspec
import polars as pl

from subak.archive.books import load_book, read_before, read_contents, read_limit_tables, read_policy, schemas_of
from subak.archive.store import Archive, NotThere
from subak.chain.deploy import WHOLE_BPS
from subak.chain.governance import Proposal
from subak.chain.rpc import Rpc
from subak.chain.snapshot import Finalised, Follower, budget_of
from subak.core.canon.json import encode, hash_json
from subak.core.kind import Rules
from subak.core.nouns import Book, Hash, Network, Policy, State, decode
from subak.core.nouns.document import Address
from subak.core.settlement import settle
from subak.core.settlement.money import from_ints, to_ints
from subak.kinds.registry import rules_for

MOST_EPOCHS = 64
"""A replay goes back at most so many epochs."""
FORMAT = "subak/replay/1"
"""Of a kept replay."""


class CannotReplay(RuntimeError):
    """Nothing was settled again; the text says why."""


class KeptRefused(CannotReplay):
    """A kept replay that is not about this proposal on this chain, or no replay at all; the text names what disagrees."""


@dataclass(frozen=True)
class Change:
    """What an account or an asset got in the replayed epochs, and what it would have got."""

    name: bytes
    """The account's address, or the asset's id."""
    rewards: int
    """Token units that it got."""
    rewards_under: int
    """Token units that it would have got."""
    fees: int
    """Payment units that it got."""
    fees_under: int
    """Payment units that it would have got."""

    @property
    def changed(self) -> bool:
        """Whether anything would have been different."""
        return (self.rewards, self.fees) != (self.rewards_under, self.fees_under)


@dataclass(frozen=True)
class PoolChange:
    """What was minted out of a pool's budgets in the replayed epochs, and what would have been."""

    pool: str
    """Its name."""
    minted: int
    """Token units that were."""
    minted_under: int
    """Token units that would have been."""


@dataclass(frozen=True)
class Replay:
    """The epochs ``first`` to ``last`` as they were and as they would have been."""

    first: int
    """First epoch that was settled again."""
    last: int
    """Last one."""
    state_root: Hash
    """The final one after the last: which history this is."""
    accounts: tuple[Change, ...]
    """Everyone who got anything, or would have, by address."""
    assets: tuple[Change, ...]
    """The same by asset."""
    pools: tuple[PoolChange, ...]
    """Every pool that had a budget, or would have had one, by name."""

    @property
    def minted(self) -> int:
        """Token units that were minted in these epochs."""
        return sum(each.minted for each in self.pools)

    @property
    def minted_under(self) -> int:
        """Token units that would have been."""
        return sum(each.minted_under for each in self.pools)


Amount = Annotated[str, msgspec.Meta(pattern=r"^(0|[1-9][0-9]{0,39})\Z")]
"""Smallest units, in decimal digits."""


class PoolRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``PoolChange`` as it is written."""

    pool: str
    """Its name."""
    minted: Amount
    """Token units."""
    minted_under: Amount
    """Token units."""


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``Change`` as it is written."""

    name: Annotated[str, msgspec.Meta(pattern=r"^0x([0-9a-f]{40}|[0-9a-f]{64})\Z")]
    """The account, or the asset."""
    rewards: Amount
    """Token units."""
    rewards_under: Amount
    """Token units."""
    fees: Amount
    """Payment units."""
    fees_under: Amount
    """Payment units."""


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A replay as it is written: canonical JSON, the same bytes from everyone who replays the same."""

    format: str
    """``FORMAT``."""
    chain_id: int
    """EIP-155 id of the chain."""
    governor: Address
    """Where the proposal stands; zero for none."""
    proposal: str
    """The Governor's id of it, in decimal digits; empty for a change that nobody proposed there."""
    policy: Hash | None
    """Hash of the proposed policy; None where it stays."""
    weights_bps: dict[str, int] | None
    """The proposed shares of the budget; None where they stay."""
    first: int
    """First replayed epoch."""
    last: int
    """Last one."""
    state_root: Hash
    """The final one after it."""
    minted: Amount
    """Token units."""
    minted_under: Amount
    """Token units."""
    pools: tuple[PoolRow, ...]
    """By name."""
    accounts: tuple[Row, ...]
    """By address."""
    assets: tuple[Row, ...]
    """By id."""


def replay(
    archive: Archive,
    rpc: Rpc,
    network: Network,
    epochs: int,
    policy: Policy | None = None,
    weights_bps: Mapping[str, int] | None = None,
    last: int | None = None,
) -> Replay:
    """Settle the last ``epochs`` final epochs up to ``last``, or to the newest, again under another policy or other pool weights, each from
    what the one before would have left, beginning with the true state. Whole ranges are replayed, as they became final.

    They are also settled as they were, which says what each pool gave. Where a new Settlement took over, what waited in the old one's
    escrow stays there in both.

    Errors: CannotReplay if nothing is final, ``last`` ends no range, or a final root is not what its Books come to; KindMismatch if rules
    are not installed, of the policy or of the epochs' own; ArchiveError, RpcError, RpcUnreachable.
    """
    follower = Follower(rpc, network.contracts, network.clock)
    before, finals = _chosen(follower.history(), epochs, last)
    events = follower.events()
    found = _Sums()
    after, under = _truth(archive, before, finals[0]), State.genesis()
    for place, (_, ranges) in enumerate(groupby(finals, lambda final: final.settlement)):
        # A later Settlement begins its totals anew, in the replay as it did.
        after = after.resumed(0, 0) if place else after
        under = under.resumed(0, 0) if place else after
        truth, begin = after, under
        for final in ranges:
            for book_hash in final.book_hashes:
                contents = read_contents(archive, book_hash)
                own = rules_for(read_policy(archive, contents.policy))
                book = load_book(archive, book_hash, own)
                law = policy or book.policy
                rules = rules_for(law)
                told = _under(archive, book_hash, book, own, law, rules)
                if weights_bps is not None:
                    told = _with_pools(told, budget_of(events, contents.epoch), weights_bps)
                was, would = settle(book, after, own), settle(told, under, rules)
                found.note_pools(book, was.summary.pools, told, would.summary.pools)
                # Seals are of the verdicts as they were: under other rules they would all seem wrong, and nobody be paid for them.
                after, under, root = was.state, replace(would.state, sealed=was.state.sealed), was.state_root
            if root != final.state_root:
                raise CannotReplay(
                    f"epochs {final.first} to {final.last} are final with the state 0x{final.state_root.hex()}, their Books come to "
                    f"0x{root.hex()}: `subak check {final.last}` shows where; replay only epochs after {final.last}"
                )
        found.note_totals(truth, after, begin, under)
    return found.told(finals[0].first, finals[-1].last, finals[-1].state_root)


def _chosen(history: Sequence[Finalised], epochs: int, last: int | None) -> tuple[Finalised | None, Sequence[Finalised]]:
    """The ranges to replay, and the one before them."""
    finals = [final for final in history if last is None or final.last <= last]
    if not history:
        raise CannotReplay("no epoch is final yet: there is nothing to settle again")
    if not finals or last not in (None, finals[-1].last):
        raise CannotReplay(f"no final range ends with epoch {last}; the newest ends with {history[-1].last}")
    wanted = min(max(epochs, 1), MOST_EPOCHS)
    start = next(place for place, final in enumerate(finals) if final.last >= finals[-1].last - wanted + 1)
    return (finals[start - 1] if start else None), finals[start:]


def _truth(archive: Archive, before: Finalised | None, first: Finalised) -> State:
    """The true state before the first replayed range."""
    if before is None:
        return State.genesis()
    totals = (before.rewards, before.fees) if before.settlement == first.settlement else (0, 0)
    return read_before(archive, before.state_root, *totals)


def _under(archive: Archive, book_hash: bytes, book: Book, own: Mapping[str, Rules], law: Policy, rules: Mapping[str, Rules]) -> Book:
    """The Book as if another policy had been in force. What its rules do not speak of is left out."""
    known, wanted = schemas_of(own), schemas_of(rules)
    if any(wanted.get(name) not in (None, known[name]) for name in book.entries):
        book = load_book(archive, book_hash, rules)
    entries = {name: frame for name, frame in book.entries.items() if name in wanted}
    return replace(book, policy=law, tables=read_limit_tables(archive, law), entries=entries)


class _Sums:
    """What adds up over the replayed epochs."""

    def __init__(self) -> None:
        self._pools: dict[str, list[int]] = {}
        self._got: dict[str, dict[bytes, list[int]]] = {"accounts": {}, "assets": {}}

    def note_pools(self, book: Book, was: Mapping[str, int], told: Book, would: Mapping[str, int]) -> None:
        for pool in (*book.snapshot.pools["pool"], *told.snapshot.pools["pool"]):
            self._pools.setdefault(pool, [0, 0])
        for place, minted in enumerate((was, would)):
            for pool, amount in minted.items():
                self._pools[pool][place] += amount

    def note_totals(self, truth: State, after: State, begin: State, under: State) -> None:
        """Running totals, as they grew since a Settlement's first replayed epoch."""
        for table, key in (("accounts", "account"), ("assets", "asset")):
            for place, (old, new) in enumerate(((truth, after), (begin, under))):
                had = _totals(old, table, key)
                for name, (rewards, fees) in _totals(new, table, key).items():
                    rewards_before, fees_before = had.get(name, (0, 0))
                    sums = self._got[table].setdefault(name, [0, 0, 0, 0])
                    sums[place] += rewards - rewards_before
                    sums[place + 2] += fees - fees_before

    def told(self, first: int, last: int, state_root: Hash) -> Replay:
        accounts, assets = (
            tuple(Change(name, *sums) for name, sums in sorted(self._got[table].items()) if any(sums)) for table in ("accounts", "assets")
        )
        return Replay(
            first, last, state_root, accounts, assets, tuple(PoolChange(pool, *sums) for pool, sums in sorted(self._pools.items()))
        )


def _with_pools(book: Book, budget: int, weights_bps: Mapping[str, int]) -> Book:
    pools = sorted((pool, budget * bps // WHOLE_BPS) for pool, bps in weights_bps.items())
    table = pl.DataFrame(
        {"pool": pl.Series([pool for pool, _ in pools], dtype=pl.String), "budget": from_ints([each for _, each in pools])}
    )
    return replace(book, snapshot=replace(book.snapshot, pools=table))


def _totals(state: State, table: str, key: str) -> dict[bytes, tuple[int, int]]:
    frame: pl.DataFrame = getattr(state, table)
    return dict(zip(frame[key].to_list(), zip(to_ints(frame["rewards"]), to_ints(frame["fees"]), strict=True), strict=True))


def as_document(
    found: Replay, network: Network, proposal: Proposal | None, policy: Policy | None, weights_bps: Mapping[str, int] | None
) -> Document:
    """The replay for programs, pages and the archive."""

    def rows(changes: tuple[Change, ...]) -> tuple[Row, ...]:
        amounts = ((each.rewards, each.rewards_under, each.fees, each.fees_under) for each in changes)
        return tuple(Row("0x" + each.name.hex(), *map(str, sums)) for each, sums in zip(changes, amounts, strict=True))

    return Document(
        format=FORMAT,
        chain_id=network.chain_id,
        governor=network.contracts.governor,
        proposal=str(proposal.id) if proposal is not None else "",
        policy=Hash(hash_json(policy)) if policy is not None else None,
        weights_bps=dict(weights_bps) if weights_bps is not None else None,
        first=found.first,
        last=found.last,
        state_root=found.state_root,
        minted=str(found.minted),
        minted_under=str(found.minted_under),
        pools=tuple(PoolRow(each.pool, str(each.minted), str(each.minted_under)) for each in found.pools),
        accounts=rows(found.accounts),
        assets=rows(found.assets),
    )


def kept_path(network: Network, number: int) -> str:
    """Where an archive keeps the replay of a proposal. One that knows later epochs takes its place."""
    return f"replays/{network.contracts.governor.hex()}/{number}.json"


def keep(archive: Archive, network: Network, number: int, document: Document) -> str:
    """Put a replay into an archive for whoever reads it; returns its name there. Errors: ArchiveError."""
    path = kept_path(network, number)
    archive.put(path, encode(document), replace=True)
    return path


def read_kept(
    archive: Archive, network: Network, proposal: Proposal, policy: bytes | None, weights_bps: Mapping[str, int] | None, rpc: Rpc
) -> Document | None:
    """The replay of a proposal that an archive keeps; None if it keeps none. ``policy`` and ``weights_bps`` are what the proposal sets, as
    the chain has it.

    Errors: KeptRefused if it is about something else: another proposal, other epochs than the chain's, another format; ArchiveError,
    RpcError, RpcUnreachable.
    """
    path = kept_path(network, proposal.number)
    try:
        raw = archive.get(path)
    except NotThere:
        return None
    try:
        document = decode(raw, Document)
    except (msgspec.DecodeError, ValueError) as error:
        raise KeptRefused(f"{path} is no replay: {error}") from None
    finals = Follower(rpc, network.contracts, network.clock).history()
    ends = {final.last: final.state_root for final in finals}
    begins = {final.first for final in finals}
    facts: dict[str, tuple[object, object]] = {
        "format": (document.format, FORMAT),
        "chain_id": (document.chain_id, network.chain_id),
        "governor": (document.governor, network.contracts.governor),
        "proposal": (document.proposal, str(proposal.id)),
        "policy": (document.policy, policy),
        "weights_bps": (document.weights_bps, dict(weights_bps) if weights_bps is not None else None),
        "first epoch of a range": (document.first in begins, True),
        f"state after epoch {document.last}": (document.state_root, ends.get(document.last)),
        "canonical form": (raw == encode(document), True),
    }
    for name, (said, true) in facts.items():
        if said != true:
            raise KeptRefused(f"{path} has as its {name} {_text(said)}, the chain {_text(true)}: keep a new replay in its place")
    return document


def differences(kept: Document, again: Document) -> list[str]:
    """Where a kept replay is not what comes out again, a line for each field; empty if it is the same to the last byte."""
    found = []
    for name in Document.__struct_fields__:
        said, true = getattr(kept, name), getattr(again, name)
        if said == true:
            continue
        if not isinstance(true, tuple):
            found.append(f"{name}: kept {_text(said)}, computed {_text(true)}")
            continue
        one, other = ({_name_of(row): row for row in rows} for rows in (said, true))
        differing = sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key))
        first = f", {differing[0]} first: kept {_row(one.get(differing[0]))}, computed {_row(other.get(differing[0]))}" if differing else ""
        found.append(f"{name}: {len(differing)} of {len(other)} differ{first}" if differing else f"{name}: in another order, or twice")
    return found


def _name_of(row: Any) -> str:
    name: str = row.pool if isinstance(row, PoolRow) else row.name
    return name


def _row(row: Any) -> str:
    return "nothing" if row is None else ", ".join(f"{key} {value}" for key, value in list(msgspec.structs.asdict(row).items())[1:])


def _text(value: object) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)
