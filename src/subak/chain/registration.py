"""What a P-256 device signs so that the chain itself sees whose it is: the proof of ``registerWithProof`` and ``rotateKeyWithProof``.

On a chain without the P-256 precompile (RIP-7212, EIP-7951) both revert with Assets_NoPrecompile; there ``register`` does, and the
device's Possession Entry says the same to the verifiers.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from subak.core.canon import p256
from subak.core.canon.ids import P256, asset_id

TAG = b"subak/possession/1"
"""The first word of what is signed, padded on the right with zeros."""


class DeviceSigner(Protocol):
    """A device's key, wherever its secret lies: in a file, or in a chip that never shows it."""

    @property
    def curve(self) -> int:
        """Curve byte."""

    @property
    def public(self) -> bytes:
        """The public key; 33 bytes on P-256."""

    def sign(self, message: bytes) -> bytes:
        """64 bytes r‖s with low s over SHA-256 of the message."""


class Proof(NamedTuple):
    """The contract's ``Proof``, each 32 bytes big-endian."""

    y: bytes
    """The other coordinate of the key's point."""
    r: bytes
    """With ``s`` the signature."""
    s: bytes
    """At most half the curve's order."""


def possession_message(chain_id: int, assets: bytes, asset: bytes, owner: bytes) -> bytes:
    """The 160 bytes whose SHA-256 is ``Assets.possessionDigest``: tag, chain's id, contract, asset's id, owner, a word of 32 bytes each.

    ``assets`` and ``owner`` are addresses. ``ValueError`` names what does not fit.
    """
    for name, value, length in (("assets", assets, 20), ("asset", asset, 32), ("owner", owner, 20)):
        if len(value) != length:
            raise ValueError(f"{name} has {length} bytes, not {len(value)}")
    if not 0 <= chain_id < 1 << 256:
        raise ValueError(f"chain id {chain_id} does not fit uint256")
    return TAG.ljust(32, b"\0") + chain_id.to_bytes(32, "big") + assets.rjust(32, b"\0") + asset + owner.rjust(32, b"\0")


def possession_proof(device_key: DeviceSigner, chain_id: int, assets_address: bytes, owner: bytes, asset: bytes | None = None) -> Proof:
    """The device's signature that ``owner`` (20 bytes) holds it.

    ``asset`` is the id of an asset that exists, for ``rotateKeyWithProof``; without it the id that this key and this owner get when they
    register. Errors: ValueError for another curve, which no chain checks, for what does not fit, and for a
    signature that the chain would refuse; KeyRefused.
    """
    if device_key.curve != P256:
        raise ValueError(f"the chain checks signatures of P-256 (curve 2), not of curve {device_key.curve}: call register")
    key = device_key.public
    _, y = p256.point(key)
    message = possession_message(chain_id, assets_address, asset_id(P256, key, owner) if asset is None else asset, owner)
    signature = device_key.sign(message)
    if not p256.verify(key, signature, message):
        raise ValueError(f"the device's signature {signature.hex()} does not hold: 64 bytes r‖s over SHA-256, and n - s for s above n/2")
    return Proof(y.to_bytes(32, "big"), signature[:32], signature[32:])
