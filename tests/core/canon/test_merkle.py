from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from subak.core.canon.keccak import keccak256
from subak.core.canon.merkle import MultiProof, Tree, pack_words, standard_leaf_hashes, verify, verify_multiproof

ENCODING = ["address", "uint256", "uint256"]
OPENZEPPELIN = Path(__file__).parents[3] / "node_modules" / "@openzeppelin" / "merkle-tree"


def leaves_of(count: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, 32), dtype=np.uint8)


def openzeppelin(values: list[list[str]], multi: list[int], dump: dict[str, Any] | None) -> dict[str, Any]:
    if not OPENZEPPELIN.exists():
        pytest.skip("run npm ci")
    question = json.dumps({"values": values, "encoding": ENCODING, "multi": multi, "dump": dump})
    done = subprocess.run(
        ["node", Path(__file__).parent / "oz.mjs"], input=question, capture_output=True, text=True, check=True, timeout=60
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def hexed(items: tuple[bytes, ...]) -> list[str]:
    return ["0x" + item.hex() for item in items]


def test_golden_trees(vectors: Callable[[str], Any]) -> None:
    trees = [*vectors("merkle_sizes.json")["trees"], vectors("merkle.json")]
    assert [len(tree["leaves"]) for tree in trees] == [0, 1, 2, 3, 7, 100, 7]
    for tree in trees:
        accounts = np.frombuffer(b"".join(leaf["account"] for leaf in tree["leaves"]), np.uint8).reshape(-1, 20)
        amounts = [[int(leaf[name]) for leaf in tree["leaves"]] for name in ("rewards", "fees")]
        leaves = standard_leaf_hashes(pack_words(accounts, *amounts))
        built = Tree(leaves)
        assert built.root == tree["root"]
        assert [list(built.proof(number)) for number in range(len(built))] == tree["proofs"]
        assert all(verify(built.root, leaf.tobytes(), proof) for leaf, proof in zip(leaves, tree["proofs"], strict=True))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 13, 64, 100, 1000])
def test_equal_to_openzeppelin(count: int) -> None:
    """Same root, same proofs, same dump; and our dump loads there and verifies."""
    random = np.random.default_rng(count)
    accounts = random.integers(0, 256, (count, 20), dtype=np.uint8)
    rewards = [int(value) << 60 for value in random.integers(0, 2**62, count)]
    fees = [2**256 - 1 - number for number in range(count)]
    tree = Tree(standard_leaf_hashes(pack_words(accounts, rewards, fees)))
    dump = tree.dump(ENCODING, [(row.tobytes(), reward, fee) for row, reward, fee in zip(accounts, rewards, fees, strict=True)])
    several = sorted(set(random.integers(0, count, 5).tolist()))
    values = [["0x" + row.tobytes().hex(), str(reward), str(fee)] for row, reward, fee in zip(accounts, rewards, fees, strict=True)]

    theirs = openzeppelin(values, several, dump)
    assert theirs["root"] == "0x" + tree.root.hex()
    assert theirs["proofs"] == [hexed(tree.proof(number)) for number in range(count)]
    assert theirs["dump"] == dump
    assert theirs["loaded"] == {"root": theirs["root"], "verified": True}
    ours = tree.multiproof(several)
    assert theirs["multi"] == {"leaves": hexed(ours.leaves), "proof": hexed(ours.proof), "proofFlags": list(ours.flags)}


def test_no_leaves_and_one_leaf() -> None:
    assert Tree(leaves_of(0)).root == bytes(32)
    one = leaves_of(1)
    assert Tree(one).root == one.tobytes()
    assert Tree(one).proof(0) == ()
    assert verify_multiproof(bytes(32), Tree(leaves_of(0)).multiproof([]))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 70), st.data())
def test_every_proof_verifies_and_no_other(count: int, data: st.DataObject) -> None:
    leaves = leaves_of(count, count)
    tree = Tree(leaves)
    number = data.draw(st.integers(0, count - 1))
    proof, leaf = tree.proof(number), leaves[number].tobytes()
    assert verify(tree.root, leaf, proof)
    assert not verify(tree.root, keccak256(leaf), proof)
    if proof:
        assert not verify(tree.root, leaf, proof[:-1])
        assert not verify(tree.root, leaf, (keccak256(proof[0]), *proof[1:]))

    several = data.draw(st.sets(st.integers(0, count - 1)))
    multi = tree.multiproof(several)
    assert sorted(multi.leaves) == sorted(leaves[index].tobytes() for index in several)
    assert verify_multiproof(tree.root, multi)
    if multi.flags:
        wrong = (keccak256(multi.leaves[0]), *multi.leaves[1:])
        assert not verify_multiproof(tree.root, MultiProof(wrong, multi.proof, multi.flags))
        assert not verify_multiproof(tree.root, MultiProof(multi.leaves, multi.proof, multi.flags[:-1]))
        assert not verify_multiproof(tree.root, MultiProof(multi.leaves, multi.proof, tuple(not flag for flag in multi.flags)))


@given(st.lists(st.tuples(st.sampled_from([0, 1, 255]), st.sampled_from([0, 1, 255])), min_size=1, max_size=12))
def test_hashes_that_share_their_first_bytes_or_all_of_them(ends: list[tuple[int, int]]) -> None:
    """No honest tree has them, but the order must still be that of all 32 bytes."""
    leaves = np.zeros((len(ends), 32), np.uint8)
    leaves[:, [9, 31]] = ends
    tree = Tree(leaves)
    order = sorted(range(len(ends)), key=lambda number: (leaves[number].tobytes(), number))
    assert tree.positions[order].tolist() == list(range(2 * len(ends) - 2, len(ends) - 2, -1))
    assert tree.root == plain_root([leaves[number].tobytes() for number in order])


def plain_root(leaves: list[bytes]) -> bytes:
    nodes = [b""] * (len(leaves) - 1) + leaves[::-1]
    for node in range(len(leaves) - 2, -1, -1):
        nodes[node] = keccak256(b"".join(sorted(nodes[2 * node + 1 : 2 * node + 3])))
    return nodes[0]


def test_words_are_abi_encoded() -> None:
    keys = np.arange(40, dtype=np.uint8).reshape(2, 20)
    words = pack_words(keys, [1, 2**256 - 1], [0, 7])
    assert words.shape == (2, 96)
    assert words[1].tobytes() == bytes(12) + keys[1].tobytes() + b"\xff" * 32 + (7).to_bytes(32, "big")
    for dtype in (np.int64, np.uint64, np.uint8):
        np.testing.assert_array_equal(pack_words(keys, np.array([0, 255], dtype)), pack_words(keys, [0, 255]))
    top = 2**64 - 1
    np.testing.assert_array_equal(pack_words(keys, np.array([1, top], np.uint64)), pack_words(keys, [1, top]))
    with pytest.raises(OverflowError, match="column 1 holds a negative"):
        pack_words(keys, np.array([1, -1]))
    assert pack_words(leaves_of(3)).tobytes() == leaves_of(3).tobytes()
    with pytest.raises(ValueError, match="column 2 has 1 values for 2 keys"):
        pack_words(keys, [1, 2], [1])
    with pytest.raises(OverflowError):
        pack_words(keys, [1, 2**256])
    with pytest.raises(OverflowError):
        pack_words(keys, [1, -1])
    with pytest.raises(ValueError, match="not 21"):
        pack_words(np.zeros((1, 21), np.uint8))


def test_what_does_not_exist_is_refused() -> None:
    tree = Tree(leaves_of(3))
    for number in (-1, 3):
        with pytest.raises(IndexError):
            tree.proof(number)
    with pytest.raises(ValueError, match="twice"):
        tree.multiproof([1, 1])
    with pytest.raises(ValueError, match="one value for each leaf"):
        tree.dump(ENCODING, [])
    with pytest.raises(ValueError, match="at least one leaf"):
        Tree(leaves_of(0)).dump(ENCODING, [])
    with pytest.raises(ValueError, match="shape"):
        Tree(np.zeros((2, 31), np.uint8))
