// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Who contests a Settlement's results, and hears how it ended: our Challenges.
interface IChallenges {
    /// @notice The dispute about `disputed`, of the range from `first` in an attempt, is over: `final_` became final, or nothing did
    /// (0). Only the Settlement calls it; it never reverts for it, so that no bond can stand in the way of a result.
    function ruled(uint32 first, uint32 attempt, bytes32 disputed, bytes32 final_) external;
}
