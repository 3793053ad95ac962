"""Names of networks, assets, sites and signers, and what verifiers commit to: hashes of facts, domain-tagged."""

from __future__ import annotations

import hashlib

from subak.core.canon.keccak import keccak256

ED25519 = 1
"""Curve byte of Ed25519: key 32 bytes, signature R‖S."""
P256 = 2
"""Curve byte of P-256: compressed key 33 bytes, signature r‖s with low s."""
KEY_BYTES = {ED25519: 32, P256: 33}
"""Length of a public key by curve byte."""


def network_id(chain_id: int, assets: bytes) -> bytes:
    """32 bytes that name a deployment: the chain and the address (20 bytes) of its Assets contract."""
    return hashlib.sha256(b"subak/network/1" + chain_id.to_bytes(8, "big") + _sized("address of Assets", assets, 20)).digest()


def asset_id(curve: int, key: bytes, owner: bytes) -> bytes:
    """32 bytes that name an asset for good, and its ERC-721 token: its first public key and its first owner (20 bytes)."""
    return keccak256(b"subak/asset/1" + _key(curve, key) + _sized("owner", owner, 20))


def site_id(owner: bytes, salt: bytes) -> bytes:
    """32 bytes that name a site, an asset without a key: its first owner (20 bytes) and a salt (32 bytes)."""
    return keccak256(b"subak/site/1" + _sized("owner", owner, 20) + _sized("salt", salt, 32))


def seal_of(signer: bytes, book_hash: bytes, verdicts_hash: bytes) -> bytes:
    """32 bytes: a verifier (20 bytes) commits to a Book's verdicts by their columns hash, so that a copy is worth nothing to another."""
    facts = _sized("signer", signer, 20) + _sized("book", book_hash, 32) + _sized("verdicts", verdicts_hash, 32)
    return hashlib.sha256(b"subak/seal/1" + facts).digest()


def commitment(secret: bytes) -> bytes:
    """32 bytes: what a verifier's head says of the secret (32 bytes) that its next one reveals."""
    return hashlib.sha256(b"subak/commit/1" + _sized("secret", secret, 32)).digest()


def signer_id(curve: int, key: bytes) -> bytes:
    """8 bytes that stand in an Entry for the key that signed it."""
    return hashlib.sha256(_key(curve, key)).digest()[:8]


def _key(curve: int, key: bytes) -> bytes:
    if curve not in KEY_BYTES:
        raise ValueError(f"unknown curve {curve}: 1 is Ed25519, 2 is P-256")
    return bytes([curve]) + _sized("key", key, KEY_BYTES[curve])


def _sized(name: str, value: bytes, length: int) -> bytes:
    if len(value) != length:
        raise ValueError(f"{name} has {length} bytes, not {len(value)}")
    return value


def draw_seed(previous: bytes, beacon: bytes) -> bytes:
    """What an epoch's tasks are drawn from: SHA-256 of the Book before and the beacon, 32 bytes; empty if there was no beacon in time."""
    return hashlib.sha256(b"subak/draw/1" + previous + beacon).digest() if any(beacon) else b""
