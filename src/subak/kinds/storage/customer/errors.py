"""What can go wrong with a customer's files, in words that name who and what, and the remedy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Cause(StrEnum):
    """What a host did."""

    UNREACHABLE = "unreachable"
    """No connection, or it broke before there was an answer."""
    SLOW = "slow"
    """No answer in time, or another host was asked instead and was faster."""
    REFUSED = "refused"
    """It does not do this for this customer now (402, 403): pass, lane or bill."""
    FULL = "full"
    """It has no room (507)."""
    LOST = "lost"
    """It does not have a piece that it acknowledged (404)."""
    TAMPERED = "tampered"
    """It sent other bytes than those that were stored, or not as many."""
    FAULTY = "faulty"
    """It answered something that this protocol does not have."""


@dataclass(frozen=True)
class Fault:
    """What one host failed at."""

    asset: bytes
    """The host's asset id."""
    endpoint: str
    """Where it was asked."""
    cause: Cause
    """The kind of failure."""
    sentence: str
    """What it said or did, first time."""
    pieces: int = 1
    """How many pieces it failed at."""

    def __str__(self) -> str:
        times = "" if self.pieces == 1 else f" ({self.pieces} pieces)"
        return f"host 0x{self.asset.hex()[:12]}… at {self.endpoint} is {self.cause}: {self.sentence}{times}"


class HostFailed(Exception):
    """One request to one host failed."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


class StoreError(Exception):
    """A file could not be stored, found or fetched. The message is for people."""


class BadName(StoreError):
    """Not a name for a file."""


class NameTaken(StoreError):
    """A file of this name is stored, or is being stored."""


class NoSuchFile(StoreError):
    """There is no file of this name."""


class TooFewHosts(StoreError):
    """Fewer hosts than pieces."""


class SourceChanged(StoreError):
    """The file was written to while it was read."""


class WrongKey(StoreError):
    """The master key is not the one that the files were sealed with, or is gone."""


class NoRoom(StoreError):
    """This machine's disk is full, or a limit on files is reached."""


class PutFailed(StoreError):
    """A file could not be stored because hosts failed; what had been placed was removed or is remembered for removal."""

    def __init__(self, name: str, faults: Sequence[Fault], n: int) -> None:
        self.faults = tuple(faults)
        """The hosts that failed."""
        hosts = len({fault.asset for fault in faults})
        lines = "".join(f"\n  {fault}" for fault in faults)
        super().__init__(f"{name!r} was not stored: {hosts} of {n} hosts failed; name others in their place{lines}")


class Unreadable(StoreError):
    """Fewer than k good pieces of a segment can be had now."""

    def __init__(self, name: str, segment: int, good: int, k: int, n: int, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        """The hosts that failed."""
        lines = "".join(f"\n  {fault}" for fault in faults)
        needs = f"segment {segment} needs {k} of its {n} pieces, {good} can be had"
        super().__init__(f"{name!r} cannot be read now: {needs}; try again when more hosts are back{lines}")
