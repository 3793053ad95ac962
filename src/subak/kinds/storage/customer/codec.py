"""A file as pieces, and back: sealed segment by segment, coded so that any k of n pieces give one back. Pure: no files, clock or dice.

A segment is k · 262,144 bytes of ciphertext, of which the last 16 are the tag; so it carries k · 262,144 − 16 bytes of the file. The last
one is filled up with zeros before it is sealed: its pieces are full and nobody without the key can compress them.

    key      HKDF-SHA256(master key, salt = file id, info = "subak.storage.file/1"), 32 bytes
    seal     AES-256-GCM, nonce = number of the segment (12 bytes, big-endian)
             authenticated: "subak.storage.segment/1" ‖ file id (32) ‖ bytes of the file (u64) ‖ k (u16) ‖ n (u16) ‖ number (u64)
    code     zfec: pieces 0 … k−1 are the ciphertext cut in k, the other n−k are parity
    name     of a piece: its SHA-256 root (rules/tree.py)

A file id is 32 random bytes that serve one storing of one file, so no nonce ever meets other bytes under the same key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import zfec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ..rules.tree import PIECE_BYTES

KEY_BYTES: Final = 32
FILE_ID_BYTES: Final = 32
TAG_BYTES: Final = 16
MOST_PIECES: Final = 256
"""n is at most this: the code counts in bytes."""
_FILE_KEY: Final = b"subak.storage.file/1"
_KEY_NAME: Final = b"subak.storage.key-name/1"
_SEGMENT: Final = b"subak.storage.segment/1"


class SealBroken(ValueError):
    """A segment whose tag does not fit: another key, file, place or length, or other bytes."""


@dataclass(frozen=True)
class Code:
    """Any ``k`` of ``n`` pieces give a segment back."""

    k: int = 4
    """Pieces that suffice."""
    n: int = 10
    """Pieces that are stored, each by another host; at most 256."""

    def __post_init__(self) -> None:
        if not 1 <= self.k <= self.n <= MOST_PIECES:
            raise ValueError(f"a code is k of n with 1 ≤ k ≤ n ≤ {MOST_PIECES}, not {self.k} of {self.n}")

    @property
    def segment_bytes(self) -> int:
        """Bytes of the file that a segment carries."""
        return self.k * PIECE_BYTES - TAG_BYTES

    def segments(self, size_bytes: int) -> int:
        """Segments of a file of this size; none for an empty one."""
        return -(-size_bytes // self.segment_bytes)

    def carried_bytes(self, size_bytes: int, number: int) -> int:
        """Bytes of the file in segment ``number``; the last one may carry less than the others."""
        return min(self.segment_bytes, size_bytes - number * self.segment_bytes)


class Codec:
    """Seals and opens the segments of one file. Calls from several threads at once are fine, except to ``seal``."""

    def __init__(self, master_key: bytes, file_id: bytes, size_bytes: int, code: Code) -> None:
        """``master_key`` and ``file_id``: 32 bytes each. Errors: ValueError for other lengths or a negative size."""
        if len(master_key) != KEY_BYTES or len(file_id) != FILE_ID_BYTES or size_bytes < 0:
            raise ValueError(f"key and file id have 32 bytes, got {len(master_key)} and {len(file_id)}; size {size_bytes}")
        self.code = code
        self.size_bytes = size_bytes
        self._aes = AESGCM(HKDF(SHA256(), KEY_BYTES, file_id, _FILE_KEY).derive(master_key))
        sizes = size_bytes.to_bytes(8, "big") + code.k.to_bytes(2, "big") + code.n.to_bytes(2, "big")
        self._authenticated = _SEGMENT + file_id + sizes
        self._encoder: Any = zfec.Encoder(code.k, code.n)
        self._decoder: Any = zfec.Decoder(code.k, code.n)
        self._parity = tuple(range(code.k, code.n))
        # Fresh pages for every segment cost more than sealing it.
        self._sealed = bytearray(code.k * PIECE_BYTES)
        self._plain = bytearray(code.segment_bytes)

    def seal(self, number: int, content: bytes | bytearray | memoryview) -> list[bytes]:
        """The n pieces of segment ``number``, of 262,144 bytes each. Errors: ValueError unless ``content`` is all that it carries."""
        expected = self.code.carried_bytes(self.size_bytes, number)
        if len(content) != expected or expected <= 0 or number < 0:
            raise ValueError(f"segment {number} of {self.size_bytes} bytes carries {expected}, not {len(content)}")
        if expected < self.code.segment_bytes:
            self._plain[:expected] = content
            self._plain[expected:] = bytes(len(self._plain) - expected)
            content = self._plain
        self._aes.encrypt_into(number.to_bytes(12, "big"), content, self._data(number), self._sealed)
        sealed = memoryview(self._sealed)
        pieces = [bytes(sealed[at : at + PIECE_BYTES]) for at in range(0, len(sealed), PIECE_BYTES)]
        return pieces + list(self._encoder.encode(tuple(pieces), self._parity))

    def open(self, number: int, pieces: Mapping[int, bytes]) -> memoryview:
        """What segment ``number`` carries, from k of its pieces by their place, each of 262,144 bytes.

        Errors: SealBroken if they are not what was sealed; ValueError if they are not k, or too short or long.
        """
        if len(pieces) != self.code.k or any(len(piece) != PIECE_BYTES for piece in pieces.values()):
            lengths = {place: len(piece) for place, piece in sorted(pieces.items())}
            raise ValueError(f"a segment opens with {self.code.k} pieces of {PIECE_BYTES} bytes, not with {lengths}")
        if set(pieces) == set(range(self.code.k)):
            cut = [pieces[place] for place in range(self.code.k)]
        else:
            cut = self._decoder.decode(tuple(pieces.values()), tuple(pieces))
        try:
            plain = self._aes.decrypt(number.to_bytes(12, "big"), b"".join(cut), self._data(number))
        except InvalidTag:
            raise SealBroken(f"segment {number}: the tag does not fit") from None
        return memoryview(plain)[: self.code.carried_bytes(self.size_bytes, number)]

    def _data(self, number: int) -> bytes:
        return self._authenticated + number.to_bytes(8, "big")


def key_name(master_key: bytes) -> bytes:
    """32 bytes that name a master key and say nothing about it."""
    return HKDF(SHA256(), 32, None, _KEY_NAME).derive(master_key)
