"""What several verifiers of one run work out alike is worked out once: pure results by the hashes that they follow from."""

from __future__ import annotations

from dataclasses import dataclass, field

from subak.chain.settlement import SettlementView
from subak.chain.snapshot import Follower
from subak.core.nouns import Hash, Snapshot, SnapshotRef, State
from subak.verifier.closing import Closing
from subak.verifier.judge import Judge, Settled
from subak.verifier.watching import Watcher


@dataclass
class Shared:
    """Of one run."""

    settled: dict[tuple[tuple[Hash, ...], bytes, bytes, int, int], Settled] = field(default_factory=dict)
    """By the Books, and the root, the state root and the totals before."""
    states: dict[bytes, State] = field(default_factory=dict)
    """By state root."""
    snapshots: dict[tuple[bytes, int], tuple[SnapshotRef, Snapshot]] = field(default_factory=dict)
    """By hash of the block and epoch."""
    files: dict[bytes, dict[str, bytes]] = field(default_factory=dict)
    """What is published with a result, by path."""


class SharingFollower(Follower):
    """The real follower, whose folds are shared."""

    shared = Shared()
    """Set by whoever makes it."""

    def snapshot(self, epoch: int) -> tuple[SnapshotRef, Snapshot] | None:
        block = self.snapshot_block(epoch)
        known = None if block is None else self.shared.snapshots.get((bytes(block.hash), epoch))
        if known is None and (known := super().snapshot(epoch)) is not None and block is not None:
            self.shared.snapshots[bytes(block.hash), epoch] = known
        return known


class SharingJudge(Judge):
    """The real judge. Everything is fetched and checked by each one; only what follows from checked bytes is shared."""

    shared = Shared()
    """Set by whoever makes it."""

    def _compute(self, book_hashes: tuple[Hash, ...], view: SettlementView) -> Settled:
        name = (book_hashes, bytes(view.root), bytes(view.state_root), view.rewards, view.fees)
        if name not in self.shared.settled:
            self.shared.settled[name] = super()._compute(book_hashes, view)
        return self.shared.settled[name]

    def _state(self, state_root: bytes) -> State:
        if state_root not in self.shared.states:
            self.shared.states[state_root] = super()._state(state_root)
        elif self._finals:
            self.peers.fetch_tables("state", state_root, self.archive)
        return self.shared.states[state_root]


class SharingClosing(SharingJudge, Closing):
    """The real closing."""

    def _publish(self, settled: Settled) -> None:
        known = self.shared.files.get(settled.result)
        if known is None:
            super()._publish(settled)
            folders = [f"state/{each.state_root.hex()}/" for each in settled.settlements]
            folders.append(f"verdicts/{settled.message.verdicts_hash.hex()}/")
            self.shared.files[settled.result] = {path: self.archive.get(path) for folder in folders for path in self.archive.names(folder)}
        else:
            for path, raw in known.items():
                self.archive.put(path, raw)


class SharingWatcher(SharingJudge, Watcher):
    """The real watcher."""
