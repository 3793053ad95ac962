"""The nouns of Subak: frozen data, whole numbers, one sentence under every field."""

from subak.core.nouns.book import Book, Contents, Head, SegmentRef, SnapshotRef
from subak.core.nouns.document import Address, Hash, decode
from subak.core.nouns.network import Clock, Contracts, Network, Nodes
from subak.core.nouns.policy import Attestation, Bootstrap, KindPolicy, Policy
from subak.core.nouns.settlement import Settlement, Summary
from subak.core.nouns.snapshot import Snapshot
from subak.core.nouns.state import State
from subak.core.nouns.vote import Vote

__all__ = [
    "Address",
    "Attestation",
    "Book",
    "Bootstrap",
    "Clock",
    "Contents",
    "Contracts",
    "Hash",
    "Head",
    "KindPolicy",
    "Network",
    "Nodes",
    "Policy",
    "SegmentRef",
    "Settlement",
    "Snapshot",
    "SnapshotRef",
    "State",
    "Summary",
    "Vote",
    "decode",
]
