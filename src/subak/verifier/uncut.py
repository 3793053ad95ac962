"""Which Entries of the log belong to which epoch's segments."""

from __future__ import annotations

from subak.archive.log import Cut, EntryLog
from subak.core.canon.entry import RawEntry
from subak.core.nouns import Clock


class Uncut:
    """Entries that were cut and that no head of this verifier brings yet.

    An Entry belongs to the first epoch that was cut after it was taken in and whose close its last line does not pass, so that nobody's
    late cut lists a line too early. That follows from the log and its recorded cuts alone, whatever crashed in between.
    """

    def __init__(self, entries: EntryLog, clock: Clock, heads: int) -> None:
        """``heads``: how many epochs this verifier has already made its head for."""
        self._entries, self._clock = entries, clock
        self._waiting: list[tuple[int, RawEntry]] = []
        for cut in entries.cuts:
            if cut.epoch < heads:
                self.take(cut)

    def take(self, cut: Cut) -> list[tuple[int, RawEntry]]:
        """The (position, Entry) that belong to the cut's epoch, in order of position."""
        first = max(cut.first, self._entries.first)
        if first < cut.end:
            self._waiting.extend((logged.position, logged.entry) for logged in self._entries.entries(first, cut.end))
        close_unix_s = self._clock.close_unix_s(cut.epoch)
        mine = [(at, entry) for at, entry in self._waiting if last_end_unix_s(entry) <= close_unix_s]
        self._waiting = [(at, entry) for at, entry in self._waiting if last_end_unix_s(entry) > close_unix_s]
        return mine

    def forgettable(self, before: int) -> int:
        """The highest position, at most ``before``, below which nothing waits."""
        return min([before, *(at for at, _ in self._waiting)])


def last_end_unix_s(entry: RawEntry) -> int:
    """When the Entry's last line ends."""
    return entry.start_unix_s + entry.rows * entry.interval_seconds
