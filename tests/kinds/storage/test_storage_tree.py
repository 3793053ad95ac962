"""The tree over a set, against the plainest way to say it."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storage_sets import Kept, levels, piece

from subak.kinds.storage.rules import tree


def plain_root(hashes: list[bytes]) -> bytes:
    """Root over a power of two of hashes."""
    while len(hashes) > 1:
        hashes = [hashlib.sha256(b"\1" + hashes[i] + hashes[i + 1]).digest() for i in range(0, len(hashes), 2)]
    return hashes[0]


def plain_leaves(data: bytes) -> list[bytes]:
    return [hashlib.sha256(b"\0" + data[at : at + 1024]).digest() for at in range(0, len(data), 1024)]


def test_a_piece_is_named_by_its_plain_root() -> None:
    for data in (piece("a"), bytes(tree.PIECE_BYTES)):
        assert tree.piece_root(data) == plain_root(plain_leaves(data))
        assert tree.piece_levels(data)[0] == plain_leaves(data)
        assert tree.piece_root(bytearray(data)) == tree.piece_root(memoryview(data)) == tree.piece_root(data)


def test_a_known_root() -> None:
    """Other implementations compare with this: 256 leaves, each filled with its number."""
    data = b"".join(bytes([number]) * 1024 for number in range(256))
    assert tree.piece_root(data).hex() == "c4f9a9c8d660210a1027187385f09824050426ef6242fc3db4afce460e9cd48c"


@pytest.mark.parametrize("length", [0, 1, 1024, tree.PIECE_BYTES - 1, tree.PIECE_BYTES + 1, 2 * tree.PIECE_BYTES])
def test_only_whole_pieces_have_a_name(length: int) -> None:
    with pytest.raises(ValueError, match=f"262144 bytes, not {length}"):
        tree.piece_root(bytes(length))


@pytest.mark.parametrize("pieces", [1, 2, 3, 4, 5, 7, 8, 9, 17])
def test_a_set_is_one_plain_tree_over_its_slots(pieces: int) -> None:
    roots = [tree.EMPTY if slot % 3 == 1 else hashlib.sha256(bytes([slot])).digest() for slot in range(pieces)]
    built = tree.SetTree(roots)
    assert built.root == tree.set_root(roots) == plain_root(roots + [tree.EMPTY] * ((1 << built.depth) - pieces))
    assert built.depth == tree.depth_of(pieces)
    assert 1 << built.depth >= pieces > 1 << built.depth >> 1
    for slot, root in enumerate(roots):
        path = built.place_path(slot)
        assert tree.check_place(root, slot, pieces, path, built.root)
        assert not any(tree.check_place(root, other, pieces, path, built.root) for other in range(pieces) if other != slot)


def test_a_set_without_slots() -> None:
    empty = tree.SetTree([])
    assert (empty.root, empty.pieces, empty.depth) == (tree.EMPTY, 0, 0)
    with pytest.raises(IndexError, match="slot 0 of a set with 0"):
        empty.place_path(0)
    with pytest.raises(ValueError, match="not 0"):
        tree.depth_of(0)
    assert not tree.check_path(bytes(1024), 0, 0, [tree.EMPTY] * 8, tree.EMPTY)
    assert not tree.check_place(tree.EMPTY, 0, 0, [], tree.EMPTY)


def test_a_root_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match=r"32 bytes, not 2 of \[31, 32\]"):
        tree.SetTree([bytes(32), bytes(31)])


def test_the_deepest_path_fills_an_answer_exactly() -> None:
    assert 32 * (tree.PIECE_DEPTH + tree.depth_of(tree.MOST_PIECES)) == 1024


def test_a_leaf_proves_its_own_place_and_nothing_else() -> None:
    kept = Kept("a b - c d")
    leaves = 256 * kept.pieces

    @settings(max_examples=60, deadline=None)
    @given(st.integers(0, leaves - 1), st.integers(0, leaves - 1), st.integers(0, 10), st.integers(0, 255))
    def promise(index: int, other: int, hash_at: int, byte: int) -> None:
        leaf, path = kept.proof(index)
        assert len(path) == 8 + 3
        holds = kept.names[index // 256] != "-"
        assert tree.check_path(leaf, index, 5, path, kept.root) == holds
        assert tree.check_empty(index, 5, path, kept.root) != holds
        assert tree.check_path(leaf, other, 5, path, kept.root) == (holds and other == index)
        bent = list(path)
        bent[hash_at] = bytes([*path[hash_at][:-1], path[hash_at][-1] ^ (byte or 1)])
        assert not tree.check_path(leaf, index, 5, bent, kept.root)
        assert not tree.check_empty(index, 5, bent, kept.root)
        assert not tree.check_path(leaf[:-1] + bytes([leaf[-1] ^ (byte or 1)]), index, 5, path, kept.root)
        for wrong in (path[:-1], path[1:], [*path, bytes(32)], [*path[:-1], path[-1][:-1]], []):
            assert not tree.check_path(leaf, index, 5, wrong, kept.root)
            assert not tree.check_empty(index, 5, wrong, kept.root)
        assert not tree.check_path(leaf[1:], index, 5, path, kept.root)

    promise()


def test_the_index_never_reaches_beyond_the_slots() -> None:
    """Five slots leave three more in the tree: nothing may be proven about them."""
    kept = Kept("a b c d e")
    padding = [levels("e")[-1][0], tree.node_hash(tree.EMPTY, tree.EMPTY), plain_root([levels(name)[-1][0] for name in "abcd"])]
    assert tree.follow(tree.EMPTY, 5, padding) == kept.root
    for slot in (5, 6, 7, 8, -1):
        assert not tree.check_place(tree.EMPTY, slot, 5, padding, kept.root)
