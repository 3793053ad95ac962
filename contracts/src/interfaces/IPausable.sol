// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title What the guardian can hold up for a while: our Minter, or the vault of a token that already exists.
interface IPausable {
    /// @notice Nothing is minted or paid out for a while. Only the guardian, and not again soon.
    function pause() external;
}
