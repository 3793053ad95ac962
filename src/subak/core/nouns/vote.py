"""What verifiers sign about a range of Books: first a seal, which nobody can copy, then a vote."""

from __future__ import annotations

import msgspec

from subak.core.nouns.document import Address, Hash, Signature


class Vote(msgspec.Struct, frozen=True):
    """One verifier's word on one range of epochs. Two different ones of one (first, attempt, round) are equivocation."""

    first: int
    """First epoch of the range."""
    attempt: int
    """Which lead's attempt."""
    round: int
    """0 before any challenge, 1 after one."""
    result: Hash
    """EIP-712 hash of the EpochRoot."""
    signer: Address
    """The verifier's signer."""
    signature: Signature
    """EIP-2098 compact signature of the vote's EIP-712 digest."""


class Seal(msgspec.Struct, frozen=True):
    """Proof of having judged a Book before anyone published how: it commits to the verdicts and to whose seal it is."""

    book: Hash
    """The Book's hash."""
    signer: Address
    """The verifier's signer."""
    seal: Hash
    """SHA-256 of "subak/seal/1", signer, Book's hash, columns hash of its verdicts."""
    signature: Signature
    """By the signer over the canonical JSON without this field."""
