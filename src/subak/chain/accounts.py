"""Accounts on the chain: a secp256k1 key that signs digests and transactions, and the file it lies in."""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from coincurve import PrivateKey, PublicKey

from subak.core.canon.keccak import keccak256
from subak.core.nouns.document import Address, Signature

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Order of secp256k1's group."""
_PARITY = 1 << 255


class KeyFileRefused(ValueError):
    """A key file that is not safe or holds no key. Never says what it holds."""


class Account:
    """An account that can sign. Its secret never appears in text."""

    def __init__(self, secret: bytes) -> None:
        """``secret`` is the 32-byte private key. Errors: ValueError if it is none."""
        if len(secret) != 32 or not 0 < int.from_bytes(secret, "big") < ORDER:
            raise ValueError(f"a private key is 32 bytes between 0 and the group's order, got {len(secret)} bytes that are not")
        self._key = PrivateKey(secret)
        self.address = _address(self._key.public_key)
        """The account's address."""

    @classmethod
    def random(cls) -> Self:
        """A new account, from the system's randomness."""
        return cls((secrets.randbelow(ORDER - 1) + 1).to_bytes(32, "big"))

    @classmethod
    def create(cls, path: Path) -> Self:
        """A new account in a new file that only its owner can read. Errors: FileExistsError; an existing key is never overwritten."""
        account = cls.random()
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w") as file:
                file.write(account._key.secret.hex() + "\n")
                file.flush()
                os.fsync(file.fileno())
            os.link(temporary, path)
        finally:
            os.unlink(temporary)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        return account

    @classmethod
    def load(cls, path: Path) -> Self:
        """The account in a key file: 64 hex digits. Errors: FileNotFoundError; KeyFileRefused if others may read it or it holds no key."""
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise KeyFileRefused(f"{path} has mode {stat.S_IMODE(mode):04o}: others can reach the key; chmod 600 it")
            content = file.read(200)
        try:
            return cls(bytes.fromhex(content.decode("ascii").strip().removeprefix("0x")))
        except ValueError:
            # Without the cause: its text could hold part of the key.
            raise KeyFileRefused(f"{path} does not hold a private key of 64 hex digits") from None

    @classmethod
    def load_or_create(cls, path: Path) -> Self:
        """The account in the file, made first if there is no file; two processes that start together get the same one."""
        try:
            return cls.load(path)
        except FileNotFoundError:
            try:
                return cls.create(path)
            except FileExistsError:
                return cls.load(path)

    def sign_digest(self, digest: bytes) -> Signature:
        """EIP-2098 compact signature (64 bytes, low s) of 32 bytes; the same digest always gets the same one (RFC 6979)."""
        raw = self._key.sign_recoverable(digest, hasher=None)
        r, s, parity = raw[:32], int.from_bytes(raw[32:64], "big"), raw[64]
        if parity > 1:
            raise ValueError(f"recovery id {parity} has no compact form")
        return Signature(r + (s | parity << 255).to_bytes(32, "big"))

    def sign_transaction(self, fields: Mapping[str, Any]) -> bytes:
        """A signed EIP-1559 transaction, ready to send.

        ``fields``: chainId, nonce, gas, maxFeePerGas, maxPriorityFeePerGas (wei), to, value (wei), data.
        """
        # eth-account takes half a second to import, and a host never sends a transaction.
        from eth_account import Account as Signer

        signed = Signer.sign_transaction({"type": 2, **fields}, self._key.secret)
        return bytes(signed.raw_transaction)

    def __repr__(self) -> str:
        return f"Account(0x{self.address.hex()})"


def recover(digest: bytes, compact: bytes) -> Address:
    """The account that made an EIP-2098 signature of 32 bytes. Errors: ValueError if nobody can have, or s is high."""
    if len(digest) != 32 or len(compact) != 64:
        raise ValueError(f"a digest has 32 bytes and a compact signature 64, got {len(digest)} and {len(compact)}")
    tail = int.from_bytes(compact[32:], "big")
    s = tail & (_PARITY - 1)
    if s > ORDER // 2:
        raise ValueError("s lies in the upper half of the group's order")
    signature = compact[:32] + s.to_bytes(32, "big") + bytes([tail >> 255])
    try:
        return _address(PublicKey.from_signature_and_message(signature, digest, hasher=None))
    except Exception as error:  # coincurve raises bare Exception for a point that does not exist
        raise ValueError("no key can have made this signature") from error


def _address(key: PublicKey) -> Address:
    return Address(keccak256(key.format(compressed=False)[1:])[12:])
