"""Merkle trees that OpenZeppelin's ``MerkleProof`` verifies and ``@openzeppelin/merkle-tree`` loads (``StandardMerkleTree``).

Leaf = keccak256(keccak256(abi.encode(...))); leaves sorted by hash, pairs sorted. The array of nodes is laid out as OpenZeppelin does:
root first, children of node *i* at 2i + 1 and 2i + 2, so the leaves fill the end of it in falling order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from subak.core.canon.keccak import Rows, keccak256, keccak_rows

EMPTY_ROOT = bytes(32)
"""Root of the tree without leaves."""


def pack_words(keys: Rows, *columns: Sequence[int] | NDArray[np.integer[Any]]) -> Rows:
    """``abi.encode(key, uint256, ...)`` of each row.

    ``keys`` are addresses (n, 20) or bytes32 (n, 32); each column holds n integers in [0, 2^256), as Python integers or, faster, as a NumPy
    array: of n integers, or of shape (n, words) with each one's 64-bit words, highest first. Gives (n, 32 · (1 + columns)).
    Raises ``ValueError`` on a length that differs and ``OverflowError`` on an integer outside the range.
    """
    count, width = keys.shape
    if width not in (20, 32):
        raise ValueError(f"a key has 20 or 32 bytes, not {width}")
    words = np.zeros((count, 32 * (1 + len(columns))), np.uint8)
    words[:, 32 - width : 32] = keys
    for number, column in enumerate(columns, 1):
        if len(column) != count:
            raise ValueError(f"column {number} has {len(column)} values for {count} keys")
        if isinstance(column, np.ndarray):
            if count and column.min() < 0:
                raise OverflowError(f"column {number} holds a negative value")
            low = np.atleast_2d(column.T).T.astype(">u8", "C").view(np.uint8)
            words[:, 32 * (number + 1) - low.shape[1] : 32 * (number + 1)] = low
            continue
        joined = b"".join([value.to_bytes(32, "big") for value in column])
        words[:, 32 * number : 32 * number + 32] = np.frombuffer(joined, np.uint8).reshape(count, 32)
    return words


def standard_leaf_hashes(words: Rows) -> Rows:
    """OpenZeppelin's standard leaves of static tuples: keccak256(keccak256(words)), (n, 32·k) to (n, 32)."""
    return keccak_rows(keccak_rows(words))


@dataclass(frozen=True)
class MultiProof:
    """What ``MerkleProof.multiProofVerify`` takes: one proof for several leaves."""

    leaves: tuple[bytes, ...]
    """The leaves' hashes, in the order in which the contract consumes them."""
    proof: tuple[bytes, ...]
    """Hashes of nodes that cannot be computed from the leaves."""
    flags: tuple[bool, ...]
    """For each hashing step, whether the second operand was computed (true) or comes from ``proof`` (false)."""


class Tree:
    """A Merkle tree over leaf hashes, which are numbered as they were given."""

    def __init__(self, leaves: Rows) -> None:
        """Builds the tree over ``leaves`` (n, 32), level by level."""
        if leaves.ndim != 2 or leaves.shape[1] != 32 or leaves.dtype != np.uint8:
            raise ValueError(f"leaves must be uint8 of shape (n, 32), not {leaves.dtype} of shape {leaves.shape}")
        count = len(leaves)
        order = _order(leaves)
        self.nodes: Rows = np.empty((max(2 * count - 1, 0), 32), np.uint8)
        """Every node, root first, as in OpenZeppelin's dump."""
        self.positions: NDArray[np.int64] = np.empty(count, np.int64)
        """Where in ``nodes`` each leaf stands, in the order given."""
        self.positions[order] = np.arange(2 * count - 2, count - 2, -1)
        self.nodes[self.positions] = leaves
        for depth in range(max(count - 1, 0).bit_length() - 1, -1, -1):
            low, high = 2**depth - 1, min(2 ** (depth + 1) - 1, count - 1)
            self.nodes[low:high] = _hash_pairs(self.nodes[2 * low + 1 : 2 * high + 1].reshape(-1, 64))

    def __len__(self) -> int:
        """Number of leaves."""
        return len(self.positions)

    @cached_property
    def root(self) -> bytes:
        """32 bytes: zero without leaves, the leaf itself if there is one."""
        return self.nodes[0].tobytes() if len(self) else EMPTY_ROOT

    def proof(self, index: int) -> tuple[bytes, ...]:
        """Sibling hashes from leaf number ``index`` up to the root; ``IndexError`` if there is no such leaf."""
        node = self._position(index)
        siblings = []
        while node:
            siblings.append(self.nodes[_sibling(node)].tobytes())
            node = (node - 1) // 2
        return tuple(siblings)

    def multiproof(self, indices: Iterable[int]) -> MultiProof:
        """One proof for the leaves of these numbers, made as OpenZeppelin's ``getMultiProof`` does.

        Raises ``ValueError`` if a number comes twice, ``IndexError`` if there is no such leaf.
        """
        nodes = sorted((self._position(index) for index in indices), reverse=True)
        if len(set(nodes)) != len(nodes):
            raise ValueError("a leaf is named twice")
        queue, head = list(nodes), 0
        proof: list[bytes] = []
        flags: list[bool] = []
        while head < len(queue) and queue[head] > 0:
            node = queue[head]
            head += 1
            both = head < len(queue) and queue[head] == _sibling(node)
            flags.append(both)
            if both:
                head += 1
            else:
                proof.append(self.nodes[_sibling(node)].tobytes())
            queue.append((node - 1) // 2)
        if not nodes:
            proof.append(self.root)
        return MultiProof(tuple(self.nodes[node].tobytes() for node in nodes), tuple(proof), tuple(flags))

    def dump(self, leaf_encoding: Sequence[str], values: Sequence[Sequence[Any]]) -> dict[str, Any]:
        """What ``StandardMerkleTree.load`` reads, as JSON-ready data.

        ``leaf_encoding`` are Solidity types, ``values`` the tuples behind the leaves in the order in which those were given;
        bytes become 0x hex, integers decimal strings. OpenZeppelin has no empty tree: raises ``ValueError`` for one.
        """
        if not len(self) or len(values) != len(self):
            raise ValueError(f"a dump needs one value for each leaf and at least one leaf: {len(values)} values, {len(self)} leaves")
        hexes = self.nodes.tobytes().hex()
        return {
            "format": "standard-v1",
            "leafEncoding": list(leaf_encoding),
            "tree": ["0x" + hexes[at : at + 64] for at in range(0, len(hexes), 64)],
            "values": [
                {"value": [_readable(item) for item in value], "treeIndex": position}
                for value, position in zip(values, self.positions.tolist(), strict=True)
            ],
        }

    def _position(self, index: int) -> int:
        if not 0 <= index < len(self):
            raise IndexError(f"no leaf number {index}: the tree has {len(self)}")
        return int(self.positions[index])


def verify(root: bytes, leaf: bytes, proof: Iterable[bytes]) -> bool:
    """Whether ``proof`` leads from the leaf's hash to ``root``; as OpenZeppelin's ``MerkleProof.verify``."""
    node = leaf
    for sibling in proof:
        node = keccak256(node + sibling if node < sibling else sibling + node)
    return node == root


def verify_multiproof(root: bytes, proof: MultiProof) -> bool:
    """Whether ``proof`` holds for ``root``; as OpenZeppelin's ``MerkleProof.multiProofVerify``, false where that reverts."""
    if len(proof.leaves) + len(proof.proof) != len(proof.flags) + 1:
        return False
    if not proof.flags:
        return (proof.leaves or proof.proof)[0] == root
    queue, head, used = list(proof.leaves), 0, 0
    for flag in proof.flags:
        if head + 1 + flag > len(queue) or (not flag and used == len(proof.proof)):
            return False
        first = queue[head]
        second = queue[head + 1] if flag else proof.proof[used]
        head, used = head + 1 + flag, used + (not flag)
        queue.append(keccak256(first + second if first < second else second + first))
    return used == len(proof.proof) and queue[-1] == root


def _sibling(node: int) -> int:
    return node + 1 if node % 2 else node - 1


def _readable(item: Any) -> Any:
    if isinstance(item, bytes):
        return "0x" + item.hex()
    return str(item) if isinstance(item, int) and not isinstance(item, bool) else item


def _order(leaves: Rows) -> NDArray[np.int64]:
    """Numbers of the leaves in rising order of hash; equal hashes keep their order."""
    words = np.ascontiguousarray(leaves).view(">u8").astype(np.uint64)
    order: NDArray[np.int64] = np.argsort(words[:, 0], kind="stable")
    first = words[order, 0]
    if (first[1:] == first[:-1]).any():
        order = np.lexsort((words[:, 3], words[:, 2], words[:, 1], words[:, 0]))
    return order


def _hash_pairs(pairs: Rows) -> Rows:
    """keccak256 of each pair's smaller hash followed by the larger: (n, 64) to (n, 32)."""
    first = pairs.view(">u8")[:, [0, 4]].astype(np.uint64)
    swap = first[:, 0] > first[:, 1]
    for tie in np.flatnonzero(first[:, 0] == first[:, 1]):
        swap[tie] = pairs[tie, :32].tobytes() > pairs[tie, 32:].tobytes()
    swapped = np.concatenate([pairs[:, 32:], pairs[:, :32]], axis=1)
    return keccak_rows(np.where(swap[:, None], swapped, pairs))
