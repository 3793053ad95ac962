"""The master key of a customer's files, in a file that only its owner may read."""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from pathlib import Path

from .codec import KEY_BYTES


class KeyFileRefused(ValueError):
    """A key file that is not safe or holds no key. Never says what it holds."""


def load(path: Path) -> bytes:
    """The 32 bytes in a key file of 64 hex digits. Errors: FileNotFoundError; KeyFileRefused if others may read it or it holds no key."""
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & 0o077:
            raise KeyFileRefused(f"{path} has mode {mode:04o}: others can reach the key; chmod 600 it")
        content = file.read(200)
    try:
        key = bytes.fromhex(content.decode("ascii").strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise KeyFileRefused(f"{path} does not hold a key of {2 * KEY_BYTES} hex digits")
    return key


def create(path: Path) -> bytes:
    """A new key in a new file, durable when this returns. Errors: FileExistsError; an existing key is never overwritten."""
    key = secrets.token_bytes(KEY_BYTES)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(key.hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    finally:
        os.unlink(temporary)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return key
