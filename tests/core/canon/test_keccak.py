from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from subak.core.canon import _keccak, keccak
from subak.core.canon.keccak import keccak256, keccak256_reference, keccak_rows, keccak_rows_reference


def test_known_values() -> None:
    assert keccak256(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert keccak256(b"abc").hex() == "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"


@pytest.mark.parametrize("length", [0, 1, 7, 8, 20, 31, 32, 33, 64, 96, 127, 128, 135, 136, 137, 271, 272, 273, 1000, 4096])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 9, 15, 16, 17])
def test_rows_equal_the_reference(length: int, count: int) -> None:
    rows = np.random.default_rng(length * 100 + count).integers(0, 256, (count, length), dtype=np.uint8)
    hashed = keccak_rows(rows)
    assert hashed.shape == (count, 32)
    np.testing.assert_array_equal(hashed, keccak_rows_reference(rows))


@pytest.mark.parametrize("length", [*range(140), 271, 272, 273, 1000, 4096])
def test_one_equals_the_reference(length: int) -> None:
    data = np.random.default_rng(length).integers(0, 256, length, dtype=np.uint8).tobytes()
    assert keccak256(data) == keccak256(bytearray(data)) == keccak256(memoryview(data)) == keccak256_reference(data)


def test_pairs_are_packed_as_the_abi_packs_them() -> None:
    prefix, pairs = bytes(range(32)), tuple((bytes([number]) * 32, number << 56 | number) for number in range(20))
    for count in (0, 1, 8, 9, 20):
        rows = [keccak256(prefix + name + number.to_bytes(32, "big")) for name, number in pairs[:count]]
        assert _keccak.keccak_pairs(prefix, pairs[:count]) == keccak256(b"".join(rows))
    with pytest.raises(OverflowError):
        _keccak.keccak_pairs(prefix, ((bytes(32), 2**64),))
    with pytest.raises(OverflowError):
        _keccak.keccak_pairs(prefix, ((bytes(32), -1),))
    for bad in (prefix[:31], ()), (prefix, ((bytes(31), 1),)):
        with pytest.raises(ValueError, match="32 bytes"):
            _keccak.keccak_pairs(*bad)
    worse: object
    for worse in ([], ((bytes(32),),), ((1, 1),), (1,)):
        with pytest.raises((TypeError, IndexError, SystemError)):
            _keccak.keccak_pairs(prefix, worse)  # type: ignore[arg-type]


@given(st.lists(st.binary(min_size=50, max_size=50), max_size=20), st.integers(1, 5))
def test_rows_of_a_strided_view(items: list[bytes], step: int) -> None:
    rows = np.frombuffer(b"".join(items), np.uint8).reshape(-1, 50)[::step, ::step]
    np.testing.assert_array_equal(keccak_rows(rows), keccak_rows_reference(rows))


def test_without_the_extension(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.arange(640, dtype=np.uint8).reshape(10, 64)
    expected = keccak_rows(rows)
    monkeypatch.setattr(keccak, "_keccak", None)
    np.testing.assert_array_equal(keccak_rows(rows), expected)


def test_threads_do_not_disturb_each_other() -> None:
    rows = np.random.default_rng(1).integers(0, 256, (20_000, 64), dtype=np.uint8)
    expected, found = keccak_rows(rows), []
    threads = [threading.Thread(target=lambda: found.append(keccak_rows(rows))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all((one == expected).all() for one in found)


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        keccak_rows(np.zeros(32, np.uint8))
    with pytest.raises(ValueError, match="int64"):
        keccak_rows(np.zeros((1, 32), np.int64))


@pytest.mark.parametrize(("buffer", "size", "room"), [(64, 64, 31), (64, 64, 64), (63, 64, 32), (64, -1, 32), (1, 0, 32), (65, 64, 32)])
def test_the_extension_checks_its_buffers(buffer: int, size: int, room: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        _keccak.keccak_many(bytes(buffer), size, bytearray(room))
