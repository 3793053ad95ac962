"""Epochs as they become final and paid, each in one line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import polars as pl

from subak.archive.books import read_state
from subak.archive.store import ArchiveError, HttpArchive
from subak.archive.tables import read_tables
from subak.chain.rpc import Rpc, RpcError, RpcUnreachable
from subak.chain.settlement import Settlement as Chain
from subak.chain.snapshot import Finalised, Follower
from subak.core.kind import Reason, Status
from subak.core.nouns import Network, State
from subak.core.settlement import reason_table
from subak.core.settlement.money import to_ints
from subak.kinds.registry import installed

PATIENCE_LOOKS = 120
"""A final epoch is shown after so many looks even if not everyone was paid yet."""


@dataclass(frozen=True)
class EpochLine:
    """One final epoch."""

    epoch: int
    """Its number."""
    root: bytes
    """Payout root of the range that it became final with."""
    paid: int
    """Growth of all accounts' totals, in the token's smallest unit. Of a range of several epochs the last one carries it."""
    minted: int
    """What was minted for it."""
    unallocated: int
    """Dust that division left over, carried on."""
    accepted: int
    """Lines accepted."""
    held: int
    """Lines held."""
    refused: int
    """Lines refused."""
    reasons: Mapping[str, int]
    """Lines by reason."""
    not_accepted: frozenset[str]
    """Names of the reasons that hold or refuse."""


def epoch_lines(network: Network, rpc: Rpc, chain: Chain) -> Iterator[EpochLine | None]:
    """Endless: the next final epoch once its accounts are paid out, or None if there is none at this look."""
    follower = Follower(rpc, network.contracts, network.clock)
    archives = [HttpArchive(f"{verifier}/archive") for verifier in network.nodes.verifiers]
    before = State.genesis()
    ranges = 0
    looks = 0
    while True:
        try:
            finals = follower.finalised()
            if len(finals) <= ranges:
                yield None
                continue
            lines, state = _read(finals[ranges], before, archives)
            looks += 1
            if looks < PATIENCE_LOOKS and len(state.accounts) and not _all_paid(state, chain):
                yield None
                continue
        except (ArchiveError, RpcError, RpcUnreachable):
            yield None
            continue
        yield from lines
        before, looks, ranges = state, 0, ranges + 1


def _read(final: Finalised, before: State, archives: list[HttpArchive]) -> tuple[list[EpochLine], State]:
    for archive in archives[:-1]:
        try:
            return _read_from(final, before, archive)
        except ArchiveError:
            continue
    return _read_from(final, before, archives[-1])


def _read_from(final: Finalised, before: State, archive: HttpArchive) -> tuple[list[EpochLine], State]:
    rules = [kind.rules for kind in installed().values()]
    reasons = reason_table(rules)
    status_of = {reason.name: reason.status for reason in reasons.values()}
    not_accepted = frozenset(name for name, status in status_of.items() if status is not Status.ACCEPTED)
    verdicts = read_tables(archive, "verdicts", final.verdicts_hash)
    after = read_state(archive, final.state_root)
    lines = []
    for epoch in range(final.first, final.last + 1):
        by_reason = _count(verdicts[str(epoch)], reasons)
        by_status = {status: sum(count for name, count in by_reason.items() if status_of[name] is status) for status in Status}
        last = epoch == final.last
        lines.append(
            EpochLine(
                epoch=epoch,
                root=final.root,
                paid=_total(after) - _total(before) if last else 0,
                minted=final.rewards - to_ints(before.totals["rewards"])[0] if last else 0,
                unallocated=sum(to_ints(after.pools["dust"])) if last else 0,
                accepted=by_status[Status.ACCEPTED],
                held=by_status[Status.HELD],
                refused=by_status[Status.REFUSED],
                reasons=by_reason,
                not_accepted=not_accepted,
            )
        )
    return lines, after


def _count(verdicts: pl.DataFrame, reasons: Mapping[tuple[str, int], Reason]) -> dict[str, int]:
    """Lines by the name of their reason."""
    lines = verdicts.select("schema", "reasons").explode("reasons").group_by("schema", "reasons").len()
    counted: dict[str, int] = {}
    for schema, code, count in lines.iter_rows():
        reason = reasons.get(("", code)) or reasons[schema.split(".")[0], code]
        counted[reason.name] = counted.get(reason.name, 0) + count
    return dict(sorted(counted.items()))


def _total(state: State) -> int:
    return sum(to_ints(state.accounts["rewards"]))


def _all_paid(state: State, chain: Chain) -> bool:
    accounts = zip(state.accounts["account"].to_list(), to_ints(state.accounts["rewards"]), strict=True)
    return all(chain.taken(account)[0] >= rewards for account, rewards in accounts)
