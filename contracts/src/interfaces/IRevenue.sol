// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Where a Settlement's fees come from: our Channels, or whatever else customers pay through.
interface IRevenue {
    /// @notice Payment units ever handed to `settlement` for hosts. Never falls.
    function redeemed(address settlement) external view returns (uint128);
}
