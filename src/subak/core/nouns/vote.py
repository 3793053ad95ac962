"""Vote: a verifier's signature under an EpochRoot."""

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
    """0 before any challenge."""
    digest: Hash
    """EIP-712 digest of the EpochRoot."""
    signer: Address
    """The verifier's signer."""
    signature: Signature
    """EIP-2098 compact signature of the digest."""
