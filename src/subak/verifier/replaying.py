"""What a change of the rules would have done: the last epochs settled again under it, from public data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import polars as pl

from subak.archive.books import load_book, read_before, read_contents, read_limit_tables, read_policy, read_state
from subak.archive.store import Archive
from subak.chain.deploy import WHOLE_BPS
from subak.chain.rpc import Rpc
from subak.chain.snapshot import Finalised, Follower, budget_of
from subak.core.canon.json import hash_json
from subak.core.nouns import Book, Network, Policy, State
from subak.core.settlement import settle
from subak.core.settlement.money import from_ints, to_ints
from subak.kinds.registry import rules_for

MOST_EPOCHS = 64
"""A replay goes back at most so many epochs."""


class CannotReplay(RuntimeError):
    """Nothing was settled again; the text says why."""


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
class Replay:
    """The epochs ``first`` to ``last`` as they were and as they would have been."""

    first: int
    """First epoch that was settled again."""
    last: int
    """Last one."""
    accounts: tuple[Change, ...]
    """Everyone who got anything, or would have, by address."""
    assets: tuple[Change, ...]
    """The same by asset."""
    minted: int
    """Token units that were minted in these epochs."""
    minted_under: int
    """Token units that would have been."""


def replay(
    archive: Archive,
    rpc: Rpc,
    network: Network,
    epochs: int,
    policy: Policy | None = None,
    weights_bps: Mapping[str, int] | None = None,
) -> Replay:
    """Settle the last ``epochs`` final epochs again under another policy or other pool weights, each from what the one before would have
    left, beginning with the true state.

    Errors: CannotReplay if nothing is final; KindMismatch if the policy's rules are not installed; ArchiveError, RpcError, RpcUnreachable.
    """
    follower = Follower(rpc, network.contracts, network.clock)
    finals = follower.finalised()
    if not finals:
        raise CannotReplay("no epoch is final yet: there is nothing to settle again")
    wanted = min(max(epochs, 1), MOST_EPOCHS)
    start = next(place for place, final in enumerate(finals) if final.last >= finals[-1].last - wanted + 1)
    before = finals[start - 1] if start else None
    root = before.state_root if before else follower.first_state_root() or State.genesis().root()
    truth = read_before(archive, root, before.rewards if before else 0, before.fees if before else 0)
    under = after = truth
    for final in finals[start:]:
        for book_hash in final.book_hashes:
            contents = read_contents(archive, book_hash)
            law = policy or read_policy(archive, contents.policy)
            rules = rules_for(law)
            book = load_book(archive, book_hash, rules)
            book = replace(book, policy=law, tables=read_limit_tables(archive, law))
            if weights_bps is not None:
                book = _with_pools(book, budget_of(follower.events(), contents.epoch), weights_bps)
            after = _as_it_was(archive, final, book_hash, after)
            # Seals are of the verdicts as they were: under other rules they would all seem wrong, and nobody be paid for them.
            under = replace(settle(book, under, rules).state, sealed=after.sealed)
    compare = partial(_changes, truth, after, under)
    return Replay(
        first=finals[start].first,
        last=finals[-1].last,
        accounts=compare("accounts", "account"),
        assets=compare("assets", "asset"),
        minted=_minted(after) - _minted(truth),
        minted_under=_minted(under) - _minted(truth),
    )


def _as_it_was(archive: Archive, final: Finalised, book_hash: bytes, before: State) -> State:
    """The true state after a Book. Inside a range nobody published it, so it is settled."""
    if book_hash == final.book_hashes[-1]:
        return read_state(archive, final.state_root)
    rules = rules_for(read_policy(archive, read_contents(archive, book_hash).policy))
    return settle(load_book(archive, book_hash, rules), before, rules).state


def _with_pools(book: Book, budget: int, weights_bps: Mapping[str, int]) -> Book:
    pools = sorted((pool, budget * bps // WHOLE_BPS) for pool, bps in weights_bps.items())
    table = pl.DataFrame(
        {"pool": pl.Series([pool for pool, _ in pools], dtype=pl.String), "budget": from_ints([each for _, each in pools])}
    )
    return replace(book, snapshot=replace(book.snapshot, pools=table))


def _changes(truth: State, after: State, under: State, table: str, key: str) -> tuple[Change, ...]:
    had, has, would = (_totals(state, table, key) for state in (truth, after, under))
    found = []
    for name in sorted(has.keys() | would.keys()):
        zero = had.get(name, (0, 0))
        is_, would_be = (side.get(name, zero) for side in (has, would))
        change = Change(name, is_[0] - zero[0], would_be[0] - zero[0], is_[1] - zero[1], would_be[1] - zero[1])
        if change.changed or change.rewards or change.fees:
            found.append(change)
    return tuple(found)


def _totals(state: State, table: str, key: str) -> dict[bytes, tuple[int, int]]:
    frame: pl.DataFrame = getattr(state, table)
    return dict(zip(frame[key].to_list(), zip(to_ints(frame["rewards"]), to_ints(frame["fees"]), strict=True), strict=True))


def _minted(state: State) -> int:
    return to_ints(state.totals["rewards"])[0]


def as_document(found: Replay, policy: Policy | None, weights_bps: Mapping[str, int] | None) -> dict[str, object]:
    """The replay for programs and pages: plain values, amounts as text."""

    def rows(changes: tuple[Change, ...]) -> list[dict[str, str]]:
        return [
            {
                "name": "0x" + each.name.hex(),
                "rewards": str(each.rewards),
                "rewards_under": str(each.rewards_under),
                "fees": str(each.fees),
                "fees_under": str(each.fees_under),
            }
            for each in changes
        ]

    return {
        "first": found.first,
        "last": found.last,
        "policy": "0x" + hash_json(policy).hex() if policy else None,
        "weights_bps": dict(weights_bps) if weights_bps is not None else None,
        "minted": str(found.minted),
        "minted_under": str(found.minted_under),
        "accounts": rows(found.accounts),
        "assets": rows(found.assets),
    }
