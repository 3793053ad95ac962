"""Device keys in files that only their owner may read."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from subak.core.canon import ed25519
from subak.core.canon.ids import signer_id

ED25519 = 1


class KeyFileRefused(ValueError):
    """A key file that others can read, or that holds no key."""


@dataclass(frozen=True)
class DeviceKey:
    """An Ed25519 device key."""

    seed: bytes
    """32 secret bytes."""

    def __repr__(self) -> str:
        return f"DeviceKey({self.public.hex()})"

    @property
    def public(self) -> bytes:
        return ed25519.public_key(self.seed)

    @property
    def signer(self) -> bytes:
        """Signer id that stands in the Entry's header."""
        return signer_id(ED25519, self.public)

    def sign(self, message: bytes) -> bytes:
        return ed25519.sign(self.seed, message)


def load_or_create(path: Path) -> DeviceKey:
    """The key in this file; a new one is written with mode 0600 if there is none.

    Errors: KeyFileRefused, saying which mode or length is wrong and what to do.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(os.urandom(32).hex() + "\n")
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise KeyFileRefused(f"{path} has mode {mode:o}, others can read it: chmod 600 {path}")
    try:
        seed = bytes.fromhex(path.read_text().strip())
    except ValueError:
        seed = b""
    if len(seed) != 32:
        raise KeyFileRefused(f"{path} does not hold 64 hex digits")
    return DeviceKey(seed)
