"""Policy: the rules in force. Canonical bytes; hash on chain; takes effect at an epoch's start."""

from __future__ import annotations

import msgspec

from subak.core.nouns.document import Address, Hash


class Requirement(msgspec.Struct, frozen=True):
    """What must be attested before an asset of a kind may earn in a place."""

    topic: str
    """What is attested, as named on chain: "licence"."""
    subject: str
    """Of whom: "asset", or "owner"."""
    jurisdiction: int = 0
    """H3 cell within which it holds; 0 everywhere."""


class KindPolicy(msgspec.Struct, frozen=True):
    """One kind under this policy."""

    version: int
    """Version of its rules."""
    rules_hash: Hash
    """Hash of the rules' source files, so that everyone judges by the same law."""
    parameters: dict[str, int]
    """Whole numbers that the rules read."""
    tables: dict[str, Hash]
    """Limit tables: name to the hash of the Parquet file in the archive."""
    requires: tuple[Requirement, ...] = ()
    """What must be attested before an asset of this kind may earn."""


class Bootstrap(msgspec.Struct, frozen=True):
    """The pots that pay for installed capacity before there are customers. Only assets attested as "installed" share them."""

    escrow_epochs: int
    """Rewards vest this many epochs after they were earned."""
    issuer_cap_bps: int = 10_000
    """The most of a pot that assets attested by one issuer get together; what they would get beyond it is not minted."""
    cell_cap_bps: int = 10_000
    """The most of a pot that assets in one cell get together."""
    cell_resolution: int = 5
    """H3 resolution of those cells."""
    fade_from_epoch: int = (1 << 32) - 1
    """From here on the pots shrink in equal steps until ``sunset_epoch``."""
    sunset_epoch: int = (1 << 32) - 1
    """From here on they pay nothing."""


class Usage(msgspec.Struct, frozen=True):
    """Rewards for service that customers paid for; only where what they pay is burned."""

    k_bps: int = 0
    """Of what was burned for a line, this much is paid to its asset as a reward; below 10,000, so that being one's own customer loses."""


class Correction(msgspec.Struct, frozen=True):
    """A mistake of an earlier epoch, as governance found it: the asset owes what it got too much."""

    epoch: int
    """The epoch in which the debt begins."""
    asset: Hash
    """Who owes."""
    currency: str
    """What is owed: "rewards" (token) or "fees" (payment asset)."""
    amount: int
    """How much, in the currency's smallest unit."""
    creditor: Address
    """Who gets what is kept back. Zero, for rewards only: it returns to the pool."""
    why: str
    """What the owner reads."""


class Policy(msgspec.Struct, frozen=True):
    """The rules in force."""

    version: int
    """Format of this document."""
    late_epochs: int
    """A line older than this many epochs before the Book's epoch is refused."""
    kinds: dict[str, KindPolicy]
    """Kinds in use."""
    bootstrap: Bootstrap
    """What installed capacity earns before customers pay."""
    usage: Usage = Usage()
    """What paid service earns on top."""
    corrections: tuple[Correction, ...] = ()
    """Debts that begin while this policy is in force."""
