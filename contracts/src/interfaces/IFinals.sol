// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title What is final about assets, for whoever pays by what they did: our Settlement.
interface IFinals {
    /// @notice Root of the final tree of assets, 0 before any: its leaves are keccak256(bytes.concat(keccak256(abi.encode(
    /// bytes32 asset, uint256 units, uint256 rewards, uint256 fees, uint256 paidEpochs)))), running totals, ever.
    function assetRoot() external view returns (bytes32);
}
