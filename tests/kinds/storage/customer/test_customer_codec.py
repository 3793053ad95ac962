"""The codec: what is sealed comes back from any k pieces, and from nothing else."""

from __future__ import annotations

import hashlib
import hmac
import os
import random
import zlib
from itertools import combinations

import pytest
import zfec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from subak.kinds.storage.customer.codec import Code, Codec, SealBroken, key_name
from subak.kinds.storage.rules.tree import PIECE_BYTES, piece_root

KEY = bytes(range(32))
FILE = bytes(range(100, 132))


def content(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def sealed(data: bytes, code: Code, key: bytes = KEY, file: bytes = FILE) -> list[list[bytes]]:
    codec = Codec(key, file, len(data), code)
    step = code.segment_bytes
    return [codec.seal(number, data[number * step : (number + 1) * step]) for number in range(code.segments(len(data)))]


@pytest.mark.parametrize("code", [Code(4, 10), Code(1, 1), Code(1, 3), Code(3, 3), Code(2, 256)], ids=lambda code: f"{code.k} of {code.n}")
@pytest.mark.parametrize(("whole", "more"), [(0, 1), (1, -1), (1, 0), (1, 1), (3, 7)])
def test_what_is_sealed_comes_back(code: Code, whole: int, more: int) -> None:
    data = content(whole * code.segment_bytes + more)
    segments = sealed(data, code)
    assert len(segments) == code.segments(len(data))
    assert {len(piece) for pieces in segments for piece in pieces} == {PIECE_BYTES}
    codec = Codec(KEY, FILE, len(data), code)
    last = [dict(enumerate(pieces[-code.k :], code.n - code.k)) for pieces in segments]
    assert b"".join(codec.open(number, pieces) for number, pieces in enumerate(last)) == data


def test_an_empty_file_has_no_segments() -> None:
    assert Code().segments(0) == 0


def test_any_four_of_ten_pieces_give_a_segment_back() -> None:
    data = content(Code().segment_bytes)
    (pieces,) = sealed(data, Code())
    codec = Codec(KEY, FILE, len(data), Code())
    for places in combinations(range(10), 4):
        shuffled = random.Random(sum(places)).sample(places, 4)
        assert codec.open(0, {place: pieces[place] for place in shuffled}) == data, places


def test_pieces_are_full_and_cannot_be_compressed_whatever_is_in_the_file() -> None:
    for data in (b"x", bytes(Code().segment_bytes + 1)):
        for pieces in sealed(data, Code()):
            assert len({*pieces}) == 10
            for piece in pieces:
                assert len(zlib.compress(piece, 9)) > PIECE_BYTES


def test_another_file_id_gives_other_pieces() -> None:
    data = content(5000)
    first, second = sealed(data, Code()), sealed(data, Code(), file=os.urandom(32))
    assert not {*first[0]} & {*second[0]}


@pytest.mark.parametrize("wrong", ["key", "file", "size", "number", "k", "n", "byte"])
def test_a_seal_binds_key_file_size_place_and_code(wrong: str) -> None:
    data = content(2 * Code(2, 4).segment_bytes - 9)
    pieces = dict(enumerate(sealed(data, Code(2, 4))[1][:2]))
    assert Codec(KEY, FILE, len(data), Code(2, 4)).open(1, pieces) == data[Code(2, 4).segment_bytes :]
    key = bytes(32) if wrong == "key" else KEY
    file = bytes(32) if wrong == "file" else FILE
    size = len(data) - 1 if wrong == "size" else len(data)
    code = Code(2, 5) if wrong == "n" else Code(2, 4)
    if wrong == "k":
        code = Code(1, 4)
        pieces = {0: pieces[0]}
    if wrong == "byte":
        pieces[1] = pieces[1][:-1] + bytes([pieces[1][-1] ^ 1])
    with pytest.raises(SealBroken, match="the tag does not fit"):
        Codec(key, file, size, code).open(0 if wrong == "number" else 1, pieces)


@pytest.mark.parametrize(
    ("places", "length"), [((0, 1, 2), PIECE_BYTES), ((0, 1, 2, 3, 4), PIECE_BYTES), ((0, 1, 2, 3), PIECE_BYTES - 1), ((), 0)]
)
def test_too_few_too_many_and_short_pieces_are_refused(places: tuple[int, ...], length: int) -> None:
    with pytest.raises(ValueError, match=r"opens with 4 pieces of 262144 bytes"):
        Codec(KEY, FILE, 10, Code()).open(0, {place: bytes(length) for place in places})


@pytest.mark.parametrize(("number", "length"), [(0, 9), (0, 11), (1, 0), (1, 10), (-1, 10)])
def test_only_what_a_segment_carries_is_sealed(number: int, length: int) -> None:
    with pytest.raises(ValueError, match=f"segment {number} of 10 bytes"):
        Codec(KEY, FILE, 10, Code()).seal(number, bytes(length))


@pytest.mark.parametrize(("k", "n"), [(0, 1), (2, 1), (1, 257), (-1, 3)])
def test_a_code_that_cannot_be_is_refused(k: int, n: int) -> None:
    with pytest.raises(ValueError, match=f"not {k} of {n}"):
        Code(k, n)


def test_the_bytes_are_those_that_the_module_describes() -> None:
    """The same pieces from the primitives alone, with HKDF (RFC 5869) by hand."""
    data = content(Code().segment_bytes + 12345)
    pieces = sealed(data, Code())[1]
    extracted = hmac.digest(FILE, KEY, "sha256")
    key = hmac.digest(extracted, b"subak.storage.file/1\x01", "sha256")
    header = b"subak.storage.segment/1" + FILE + len(data).to_bytes(8, "big") + bytes([0, 4, 0, 10]) + (1).to_bytes(8, "big")
    plain = data[Code().segment_bytes :].ljust(Code().segment_bytes, b"\0")
    cut = AESGCM(key).encrypt((1).to_bytes(12, "big"), plain, header)
    assert pieces == list(zfec.Encoder(4, 10).encode(tuple(cut[at : at + PIECE_BYTES] for at in range(0, len(cut), PIECE_BYTES))))


def test_the_bytes_stay_what_they_were() -> None:
    pieces = sealed(content(1000), Code())[0]
    assert (
        hashlib.sha256(b"".join(piece_root(piece) for piece in pieces)).hexdigest()
        == "1c15e4ccf3f44053dac470097139d104309d9241d28565f4319b7891cd2ca33a"
    )
    assert key_name(KEY).hex() == "ee1497a13d6680e432947f6d9f1493761c91b2da777ff6fa99b7e503b2acf92b"
