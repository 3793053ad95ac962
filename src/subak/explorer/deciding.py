"""What members decide about: proposals as the chain has them, and beside each what it would have done to the last epochs."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256

import msgspec

from subak.archive.books import read_policy
from subak.archive.store import ArchiveError, HttpArchive
from subak.chain.governance import Governance, Proposal
from subak.chain.rpc import Rpc
from subak.core.canon.json import encode
from subak.core.nouns import Network
from subak.explorer.reading import Row
from subak.verifier.replaying import Document, KeptRefused, as_document, kept_path, read_kept, replay

EPOCHS = 7
"""Epochs that a page's replay goes back."""
MOST_REMEMBERED = 64
"""Replays that are remembered."""
MOST_SHOWN = 100
"""Accounts that a page lists on each side, those who gain and those who lose; the document has all."""


class Deciding:
    """Reads proposals when a page asks. A replay that the archive keeps is shown as it is; others are made one after another in a thread.
    Both are remembered until another epoch is final."""

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
        """One of them with its ``replay``: ``state`` "none" if it changes no rules, "running", "failed" with ``why``, or "done" with
        what pools, and who, would have gained or lost, and ``kept``, its name if it was read from the archive and not computed; None if
        there is no such proposal."""
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
            while len(self._replays) >= MOST_REMEMBERED:
                self._replays.pop(next(iter(self._replays)))
            self._replays[name] = self._pool.submit(self._settle_again, governance, found, network)
        future = self._replays[name]
        return future.result() if future.done() else {"state": "running"}

    def _settle_again(self, governance: Governance, found: Proposal, network: Network) -> Row:
        archive = HttpArchive(self._archive_url, seconds=30.0)
        try:
            proposed, weights = governance.policy_of(found), governance.weights_of(found)
            hash_, weights_bps = proposed[1] if proposed else None, weights[1] if weights else None
            document = self._kept(archive, network, found, hash_, weights_bps)
            kept = kept_path(network, found.number) if document else ""
            if document is None:
                policy = read_policy(archive, hash_) if hash_ else None
                again = replay(archive, self._rpc, network, EPOCHS, policy, weights_bps)
                document = as_document(again, network, found, policy, weights_bps)
        except (ArchiveError, msgspec.MsgspecError, ValueError, RuntimeError, LookupError, OSError) as error:
            return {"state": "failed", "why": str(error)}
        finally:
            archive.close()
        return {"state": "done", "kept": kept, **_shown(document)}

    def _kept(
        self, archive: HttpArchive, network: Network, found: Proposal, policy: bytes | None, weights_bps: dict[str, int] | None
    ) -> Document | None:
        """What the archive keeps; a replay of something else is as good as none."""
        try:
            return read_kept(archive, network, found, policy, weights_bps, self._rpc)
        except KeptRefused:
            return None

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


def _shown(document: Document) -> Row:
    """A replay as a page has it: who would have got more first, who less last; of many only the largest of each."""
    raw = encode(document)
    told: Row = msgspec.json.decode(raw)
    changed = [row for row in told["accounts"] if any(_growth(row))]
    unchanged = len(told.pop("accounts")) - len(changed)
    told.pop("assets")
    changed.sort(key=lambda row: (*(-grown for grown in _growth(row)), row["name"]))
    shown = changed if len(changed) <= 2 * MOST_SHOWN else [*changed[:MOST_SHOWN], *changed[-MOST_SHOWN:]]
    pools = [{**row, "difference": str(int(row["minted_under"]) - int(row["minted"]))} for row in told["pools"]]
    hash_ = "0x" + sha256(raw).hexdigest()
    return {**told, "pools": pools, "changed": shown, "not_shown": len(changed) - len(shown), "unchanged": unchanged, "hash": hash_}


def _growth(row: Row) -> tuple[int, int]:
    """By how much an account would have got more rewards and fees."""
    return int(row["rewards_under"]) - int(row["rewards"]), int(row["fees_under"]) - int(row["fees"])
