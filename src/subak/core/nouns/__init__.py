"""The nouns of Subak: frozen data, whole numbers, one sentence under every field."""

from subak.core.nouns.book import Book, Contents, Head, SegmentRef, SnapshotRef
from subak.core.nouns.document import Address, Hash, decode
from subak.core.nouns.network import Clock, Contracts, Network, Nodes
from subak.core.nouns.policy import Bootstrap, Correction, KindPolicy, Policy, Requirement, Usage
from subak.core.nouns.settlement import Settlement, Summary
from subak.core.nouns.snapshot import Snapshot
from subak.core.nouns.state import State
from subak.core.nouns.vote import Seal, Vote

__all__ = [
    "Address",
    "Book",
    "Bootstrap",
    "Clock",
    "Contents",
    "Contracts",
    "Correction",
    "Hash",
    "Head",
    "KindPolicy",
    "Network",
    "Nodes",
    "Policy",
    "Requirement",
    "Seal",
    "SegmentRef",
    "Settlement",
    "Snapshot",
    "SnapshotRef",
    "State",
    "Summary",
    "Usage",
    "Vote",
    "decode",
]
