"""Epochs as they become final and paid, each in one line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from subak.archive.store import Archive, ArchiveError, HttpArchive
from subak.chain.rpc import Rpc, RpcError, RpcUnreachable
from subak.chain.settlement import Settlement as Chain
from subak.chain.snapshot import Finalised, Follower
from subak.core.nouns import Network
from subak.explorer.reading import Range, read_range

PATIENCE_LOOKS = 120
"""A final epoch is shown after so many looks even if not everyone was paid yet."""


@dataclass(frozen=True)
class EpochLine:
    """One final epoch. Rewards are in the token's smallest unit; of a range of several epochs the last one carries it."""

    epoch: int
    """Its number."""
    root: str
    """Payout root of the range that it became final with, 0x hex."""
    paid: int
    """Growth of all accounts' totals of rewards."""
    fees: int
    """Growth of all accounts' totals of fees, in the payment asset's smallest unit."""
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
    not_paid: Mapping[str, int]
    """Of these, the ones that were held or refused."""


def epoch_lines(network: Network, rpc: Rpc, chain: Chain, skip: int = 0) -> Iterator[EpochLine | None]:
    """Endless: the next final epoch once its accounts are paid out, or None if there is none at this look. The first ``skip`` final
    ranges are not told."""
    follower = Follower(rpc, network.contracts, network.clock)
    archives = [HttpArchive(f"{verifier}/archive", seconds=10) for verifier in network.nodes.verifiers]
    ranges, looks = skip, 0
    while True:
        try:
            finals = follower.finalised()
            if len(finals) <= ranges:
                yield None
                continue
            found = _read(network, archives, finals[ranges], finals[ranges - 1] if ranges else None)
            looks += 1
            if looks < PATIENCE_LOOKS and not _all_paid(found, chain):
                yield None
                continue
        except (ArchiveError, RpcError, RpcUnreachable):
            yield None
            continue
        yield from _lines(found, finals[ranges].fees - (finals[ranges - 1].fees if ranges else 0))
        looks, ranges = 0, ranges + 1


def _read(network: Network, archives: Sequence[Archive], final: Finalised, previous: Finalised | None) -> Range:
    """From the first archive that has it."""
    for archive in archives[:-1]:
        try:
            return read_range(network, archive, final, previous, only=None, whole=True)
        except ArchiveError:
            continue
    return read_range(network, archives[-1], final, previous, only=None, whole=True)


def _lines(found: Range, fees: int) -> Iterator[EpochLine]:
    for row in found.epochs:
        by_reason = found.reasons.filter(pl.col("epoch") == row["epoch"]).group_by("reason", "status").agg(pl.col("lines").sum())
        reasons = {name: int(lines) for name, _, lines in sorted(by_reason.iter_rows())}
        accepted = {name for name, status, _ in by_reason.iter_rows() if status == "accepted"}
        yield EpochLine(
            epoch=row["epoch"],
            root=row["root"],
            paid=int(row["paid"] or 0),
            fees=fees if row is found.epochs[-1] else 0,
            minted=int(row["minted"] or 0),
            unallocated=int(row["unallocated"] or 0),
            accepted=row["accepted"],
            held=row["held"],
            refused=row["refused"],
            reasons=reasons,
            not_paid={name: lines for name, lines in reasons.items() if name not in accepted},
        )


def _all_paid(found: Range, chain: Chain) -> bool:
    table = found.accounts.select("account", "rewards", "fees")
    owed = {bytes.fromhex(account[2:]): (int(rewards), int(fees)) for account, rewards, fees in table.iter_rows()}
    taken = chain.taken_many(list(owed))
    return all(took[0] >= due[0] and took[1] >= due[1] for took, due in zip(taken, owed.values(), strict=True))
