"""What members decide about: proposals as the chain has them, and beside each what it would have done to the last epochs."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from subak.archive.books import read_policy
from subak.archive.store import ArchiveError, HttpArchive
from subak.chain.governance import Governance, Proposal
from subak.chain.rpc import Rpc
from subak.core.nouns import Network
from subak.explorer.reading import Row
from subak.verifier.replaying import as_document, replay

EPOCHS = 7
"""Epochs that a page's replay goes back."""
MOST_KEPT = 64
"""Replays that are remembered."""


class Deciding:
    """Reads proposals when a page asks. Replays are made one after another in a thread and remembered until another epoch is final."""

    def __init__(self, rpc: Rpc, archive_url: str) -> None:
        self._rpc, self._archive_url = rpc, archive_url
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="replay")
        self._replays: dict[tuple[int, int | None], Future[Row]] = {}

    def stop(self) -> None:
        """Begin no further replay."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def proposals(self, network: Network) -> list[Row]:
        """All of them, newest first; empty where no governor decides. Errors: RpcError, RpcUnreachable, ChainRefused."""
        if not any(network.contracts.governor):
            return []
        governance = Governance(self._rpc, network.contracts)
        return [self._told(governance, each) for each in reversed(governance.proposals())]

    def proposal(self, network: Network, number: int, last_epoch: int | None) -> Row | None:
        """One of them with its ``replay``: ``state`` "none" if it changes no rules, "running", "failed" with ``why``, or "done" with who
        gains and who loses; None if there is no such proposal."""
        governance = Governance(self._rpc, network.contracts)
        try:
            found = governance.proposal(number)
        except LookupError:
            return None
        return {**self._told(governance, found), "replay": self._replay(governance, found, network, last_epoch)}

    def _replay(self, governance: Governance, found: Proposal, network: Network, last_epoch: int | None) -> Row:
        if governance.policy_of(found) is None and governance.weights_of(found) is None:
            return {"state": "none"}
        name = (found.number, last_epoch)
        if name not in self._replays:
            while len(self._replays) >= MOST_KEPT:
                self._replays.pop(next(iter(self._replays)))
            self._replays[name] = self._pool.submit(self._settle_again, governance, found, network)
        future = self._replays[name]
        return future.result() if future.done() else {"state": "running"}

    def _settle_again(self, governance: Governance, found: Proposal, network: Network) -> Row:
        try:
            archive = HttpArchive(self._archive_url, seconds=30.0)
            proposed, weights = governance.policy_of(found), governance.weights_of(found)
            policy = read_policy(archive, proposed[1]) if proposed else None
            again = replay(archive, self._rpc, network, EPOCHS, policy, weights[1] if weights else None)
        except (ArchiveError, ValueError, RuntimeError, LookupError, OSError) as error:
            return {"state": "failed", "why": str(error)}
        document: dict[str, Any] = as_document(again, policy, weights[1] if weights else None)
        changed = [row for row in document["accounts"] if any(_growth(row))]
        changed.sort(key=_growth, reverse=True)
        return {"state": "done", **document, "changed": changed, "unchanged": len(document["accounts"]) - len(changed)}

    def _told(self, governance: Governance, found: Proposal) -> Row:
        return {
            "number": found.number,
            "title": (found.description.splitlines() or [""])[0][:120],
            "description": found.description[:4_000],
            "proposer": "0x" + found.proposer.hex(),
            "actions": [governance.words(action) for action in found.actions],
            "state": found.state.name.lower(),
            "vote_start_unix_s": found.vote_start_unix_s,
            "vote_end_unix_s": found.vote_end_unix_s,
            "eta_unix_s": found.eta_unix_s or None,
            "for": str(found.votes_for),
            "against": str(found.votes_against),
            "abstain": str(found.votes_abstain),
            "quorum": str(found.quorum),
        }


def _growth(row: Row) -> tuple[int, int]:
    """By how much an account would have got more rewards and fees."""
    return int(row["rewards_under"]) - int(row["rewards"]), int(row["fees_under"]) - int(row["fees"])
