"""The two messages that verifiers sign as EIP-712 typed data: what is paid, and what was taken in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from subak.core.canon.keccak import keccak256

SETTLEMENT_DOMAIN = "Subak Settlement"
"""Domain name of ``EpochRoot``."""
INTAKE_DOMAIN = "Subak Intake"
"""Domain name of ``Acknowledgement``."""

EPOCH_ROOT_TYPE = (
    "EpochRoot(uint32 first,uint32 last,bytes32 prevRoot,bytes32 root,bytes32 prevStateRoot,bytes32 stateRoot,bytes32 assetRoot,"
    "bytes32 verdictsHash,uint128 rewards,uint128 fees,bytes32[] bookHashes,bytes32[] policyHashes)"
)
"""EIP-712 type of ``EpochRoot``, as the contract encodes it."""
VOTE_TYPE = f"Vote(uint32 first,uint32 attempt,uint32 round,EpochRoot result){EPOCH_ROOT_TYPE}"
"""EIP-712 type of a vote. What it says stands apart from when it was said, so that the same result in a later round is the same hash,
and two results under one (first, attempt, round) are proved by two hashes."""
ACKNOWLEDGEMENT_TYPE = "Acknowledgement(bytes32 network,uint64 position,uint32 count,bytes32 entries,uint64 receivedUnixS)"
"""EIP-712 type of ``Acknowledgement``."""

_DOMAIN_TYPEHASH = keccak256(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
_EPOCH_ROOT_TYPEHASH = keccak256(EPOCH_ROOT_TYPE.encode())
_VOTE_TYPEHASH = keccak256(VOTE_TYPE.encode())
_ACKNOWLEDGEMENT_TYPEHASH = keccak256(ACKNOWLEDGEMENT_TYPE.encode())
_VERSION_HASH = keccak256(b"1")


@dataclass(frozen=True)
class EpochRoot:
    """What a range of epochs comes to; the votes of two thirds of the stake for it make it payable."""

    first: int
    """Number of the first epoch in the range."""
    last: int
    """Number of the last epoch in the range."""
    prev_root: bytes
    """Root of the payout tree before."""
    root: bytes
    """Root of the payout tree after."""
    prev_state_root: bytes
    """Columns hash of the carried state before."""
    state_root: bytes
    """Columns hash of the carried state after."""
    asset_root: bytes
    """Root of the tree of assets' totals after."""
    verdicts_hash: bytes
    """Columns hash of the verdicts on every line."""
    rewards: int
    """Rewards ever minted, up to and including this range, in the token's smallest unit."""
    fees: int
    """Fees ever redeemed for hosts, up to and including this range, in the payment asset's smallest unit."""
    book_hashes: tuple[bytes, ...]
    """Hash of each epoch's Book, in order."""
    policy_hashes: tuple[bytes, ...]
    """Hash of each epoch's Policy, in order."""


@dataclass(frozen=True)
class Acknowledgement:
    """A verifier's promise that it took Entries in and will list them."""

    network: bytes
    """Network id, 32 bytes."""
    position: int
    """Place of the first Entry in that verifier's log."""
    count: int
    """How many Entries were newly taken in."""
    entries: bytes
    """SHA-256 of their concatenated digests, in order."""
    received_unix_s: int
    """Network time of taking them in, seconds."""


@lru_cache(maxsize=64)
def domain_separator(name: str, chain_id: int, contract: bytes) -> bytes:
    """EIP-712 domain separator of ``{name, version: "1", chainId, verifyingContract}``; ``contract`` is an address of 20 bytes."""
    if len(contract) != 20:
        raise ValueError(f"verifyingContract has 20 bytes, not {len(contract)}")
    return keccak256(_DOMAIN_TYPEHASH + keccak256(name.encode()) + _VERSION_HASH + _uint("chainId", chain_id, 256) + bytes(12) + contract)


def result_hash(message: EpochRoot) -> bytes:
    """32 bytes: EIP-712's hashStruct of a result, the same on every chain. ``ValueError`` names a field that does not fit."""
    return keccak256(
        b"".join(
            (
                _EPOCH_ROOT_TYPEHASH,
                _uint("first", message.first, 32),
                _uint("last", message.last, 32),
                _bytes32("prevRoot", message.prev_root),
                _bytes32("root", message.root),
                _bytes32("prevStateRoot", message.prev_state_root),
                _bytes32("stateRoot", message.state_root),
                _bytes32("assetRoot", message.asset_root),
                _bytes32("verdictsHash", message.verdicts_hash),
                _uint("rewards", message.rewards, 128),
                _uint("fees", message.fees, 128),
                _array("bookHashes", message.book_hashes),
                _array("policyHashes", message.policy_hashes),
            )
        )
    )


def vote_digest(first: int, attempt: int, round_: int, result: bytes, chain_id: int, contract: bytes) -> bytes:
    """The 32 bytes that a verifier signs (EIP-712) to say in an attempt and round that the range from ``first`` on comes to ``result``,
    a ``result_hash``; ``contract`` is the Settlement. ``ValueError`` names a field that does not fit."""
    struct = b"".join(
        (
            _VOTE_TYPEHASH,
            _uint("first", first, 32),
            _uint("attempt", attempt, 32),
            _uint("round", round_, 32),
            _bytes32("result", result),
        )
    )
    return _digest(SETTLEMENT_DOMAIN, chain_id, contract, struct)


def acknowledgement_digest(message: Acknowledgement, chain_id: int, contract: bytes) -> bytes:
    """The 32 bytes that a verifier signs (EIP-712); ``contract`` is the Settlement. ``ValueError`` names a field that does not fit."""
    struct = b"".join(
        (
            _ACKNOWLEDGEMENT_TYPEHASH,
            _bytes32("network", message.network),
            _uint("position", message.position, 64),
            _uint("count", message.count, 32),
            _bytes32("entries", message.entries),
            _uint("receivedUnixS", message.received_unix_s, 64),
        )
    )
    return _digest(INTAKE_DOMAIN, chain_id, contract, struct)


def _digest(name: str, chain_id: int, contract: bytes, struct: bytes) -> bytes:
    return keccak256(b"\x19\x01" + domain_separator(name, chain_id, contract) + keccak256(struct))


def _uint(name: str, value: int, bits: int) -> bytes:
    if not 0 <= value < 1 << bits:
        raise ValueError(f"{name} = {value} does not fit uint{bits}")
    return value.to_bytes(32, "big")


def _bytes32(name: str, value: bytes) -> bytes:
    if len(value) != 32:
        raise ValueError(f"{name} has 32 bytes, not {len(value)}")
    return value


def _array(name: str, values: Iterable[bytes]) -> bytes:
    return keccak256(b"".join(_bytes32(name, value) for value in values))
