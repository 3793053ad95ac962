// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @dev One account's running totals.
struct Leaf {
    address account;
    uint256 rewards;
    uint256 fees;
}

/// @dev OpenZeppelin's StandardMerkleTree, written a second time so that the contract is not tested against itself.
library Tree {
    function hash(Leaf memory leaf) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(keccak256(abi.encode(leaf.account, leaf.rewards, leaf.fees))));
    }

    function pair(bytes32 a, bytes32 b) internal pure returns (bytes32) {
        return a < b ? keccak256(abi.encodePacked(a, b)) : keccak256(abi.encodePacked(b, a));
    }

    /// @dev Sorts in place by hash: position i is then leaf i of the tree.
    function sort(Leaf[] memory leaves) internal pure returns (Leaf[] memory) {
        for (uint256 i = 1; i < leaves.length; ++i) {
            Leaf memory moving = leaves[i];
            uint256 j = i;
            for (; j > 0 && hash(leaves[j - 1]) > hash(moving); --j) {
                leaves[j] = leaves[j - 1];
            }
            leaves[j] = moving;
        }
        return leaves;
    }

    /// @dev All nodes of the tree over sorted leaves, root first.
    function nodes(Leaf[] memory sorted) internal pure returns (bytes32[] memory tree) {
        if (sorted.length == 0) return new bytes32[](1);
        tree = new bytes32[](2 * sorted.length - 1);
        for (uint256 i = 0; i < sorted.length; ++i) {
            tree[tree.length - 1 - i] = hash(sorted[i]);
        }
        for (uint256 i = sorted.length - 1; i > 0; --i) {
            tree[i - 1] = pair(tree[2 * i - 1], tree[2 * i]);
        }
    }

    function root(Leaf[] memory sorted) internal pure returns (bytes32) {
        return nodes(sorted)[0];
    }

    function proof(Leaf[] memory sorted, uint256 index) internal pure returns (bytes32[] memory path) {
        bytes32[] memory tree = nodes(sorted);
        uint256 depth = 0;
        for (uint256 node = tree.length - 1 - index; node > 0; node = (node - 1) / 2) {
            ++depth;
        }
        path = new bytes32[](depth);
        uint256 step = 0;
        for (uint256 node = tree.length - 1 - index; node > 0; node = (node - 1) / 2) {
            path[step++] = tree[node % 2 == 1 ? node + 1 : node - 1];
        }
    }

    /// @dev A multiproof of the leaves at `indices`, ascending.
    function multiproof(Leaf[] memory sorted, uint256[] memory indices)
        internal
        pure
        returns (bytes32[] memory path, bool[] memory flags)
    {
        bytes32[] memory tree = nodes(sorted);
        uint256[] memory queue = new uint256[](indices.length + 2 * tree.length);
        uint256 head = 0;
        uint256 tail = 0;
        for (; tail < indices.length; ++tail) {
            queue[tail] = tree.length - 1 - indices[tail];
        }
        bytes32[] memory paths = new bytes32[](tree.length);
        bool[] memory marks = new bool[](tree.length);
        uint256 p = 0;
        uint256 f = 0;
        while (head < tail && queue[head] > 0) {
            uint256 node = queue[head++];
            uint256 sibling = node % 2 == 1 ? node + 1 : node - 1;
            if (head < tail && queue[head] == sibling) {
                marks[f++] = true;
                ++head;
            } else {
                marks[f++] = false;
                paths[p++] = tree[sibling];
            }
            queue[tail++] = (node - 1) / 2;
        }
        path = new bytes32[](p);
        flags = new bool[](f);
        for (uint256 i = 0; i < p; ++i) {
            path[i] = paths[i];
        }
        for (uint256 i = 0; i < f; ++i) {
            flags[i] = marks[i];
        }
    }
}
