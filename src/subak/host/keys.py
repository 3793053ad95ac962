"""Device keys in files that only their owner may read."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from subak.archive.files import sync_folder
from subak.core.canon import ed25519, p256
from subak.core.canon.ids import ED25519, P256, signer_id

_NAMES = {ED25519: "ed25519", P256: "p256"}
"""What stands before the digits in a key file; digits alone are an Ed25519 key."""


class KeyFileRefused(ValueError):
    """A key file that others can read, that holds no key, or a key of another curve than was asked for. Never says what it holds."""


@dataclass(frozen=True)
class DeviceKey:
    """A device's private key on one of the curves that sign Entries. Its secret never appears in text."""

    seed: bytes
    """32 secret bytes: the seed of Ed25519, the private scalar of P-256."""
    curve: int = ED25519
    """Curve byte."""

    def __post_init__(self) -> None:
        """ValueError for an unknown curve, or if the secret is none of it."""
        if self.curve not in _NAMES:
            raise ValueError(f"unknown curve {self.curve}: 1 is Ed25519, 2 is P-256")
        if len(self.seed) != 32:
            raise ValueError(f"a device's secret has 32 bytes, not {len(self.seed)}")
        if self.curve == P256:
            p256.public_key(self.seed)

    @classmethod
    def random(cls, curve: int = ED25519) -> DeviceKey:
        """A new key, from the system's randomness."""
        secret = secrets.token_bytes(32) if curve == ED25519 else (secrets.randbelow(p256.ORDER - 1) + 1).to_bytes(32, "big")
        return cls(secret, curve)

    def __repr__(self) -> str:
        return f"DeviceKey({_NAMES[self.curve]} {self.public.hex()})"

    @property
    def public(self) -> bytes:
        """32 bytes on Ed25519, 33 on P-256."""
        return ed25519.public_key(self.seed) if self.curve == ED25519 else p256.public_key(self.seed)

    @property
    def signer(self) -> bytes:
        """Signer id that stands in the Entry's header."""
        return signer_id(self.curve, self.public)

    def sign(self, message: bytes) -> bytes:
        """64 bytes, the same each time; P-256 hashes the message with SHA-256 and gives low s."""
        return ed25519.sign(self.seed, message) if self.curve == ED25519 else p256.sign(self.seed, message)


def load_or_create(path: Path, curve: int | None = None) -> DeviceKey:
    """The key in this file; a new one, of Ed25519 unless ``curve`` says otherwise, is written with mode 0600 if there is none.

    Errors: KeyFileRefused, saying which mode, content or curve is wrong and what to do; ValueError for an unknown curve.
    """
    if not path.exists():
        _write(path, DeviceKey.random(ED25519 if curve is None else curve))
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise KeyFileRefused(f"{path} has mode {mode:o}, others can read it: chmod 600 {path}")
    try:
        name, _, digits = path.read_text().strip().rpartition(" ")
        found = {known: number for number, known in _NAMES.items()} | {"": ED25519}
        key = DeviceKey(bytes.fromhex(digits), found[name])
    except (KeyError, ValueError):
        # Without the cause: its text could hold part of the key.
        raise KeyFileRefused(f"{path} does not hold a device key: 64 hex digits for Ed25519, or p256 and 64 hex digits") from None
    if curve not in (None, key.curve):
        raise KeyFileRefused(f"{path} holds a key of {_NAMES[key.curve]}, not of {_NAMES.get(curve, curve)}: choose another file")
    return key


def _write(path: Path, key: DeviceKey) -> None:
    """A key that was registered and then lost with the power would be lost for good, so it is on the disk before anyone uses it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(f"{'' if key.curve == ED25519 else _NAMES[key.curve] + ' '}{key.seed.hex()}\n")
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)
