"""Policy: the rules in force. Canonical bytes; hash on chain; takes effect at an epoch's start."""

from __future__ import annotations

import msgspec

from subak.core.nouns.document import Address, Hash


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


class Attestation(msgspec.Struct, frozen=True):
    """An issuer's word that an asset is really installed."""

    issuer: Address
    """Who says so."""
    asset: Hash
    """About which asset."""
    expires_unix_s: int
    """Until when; an epoch that ends later earns no bootstrap reward on it."""


class Bootstrap(msgspec.Struct, frozen=True):
    """The pot that pays for installed capacity before there are customers."""

    escrow_epochs: int
    """Rewards vest this many epochs after they were earned."""
    attestations: tuple[Attestation, ...]
    """Assets that may earn it."""


class Policy(msgspec.Struct, frozen=True):
    """The rules in force."""

    version: int
    """Format of this document."""
    late_epochs: int
    """A line older than this many epochs before the Book's epoch is refused."""
    kinds: dict[str, KindPolicy]
    """Kinds in use."""
    bootstrap: Bootstrap
    """Who earns before customers pay."""
