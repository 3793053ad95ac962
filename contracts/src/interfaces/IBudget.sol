// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title What a Settlement may bring into circulation: our Minter, or the vault of a token that already exists.
interface IBudget {
    /// @notice Whom it serves now. Whoever it no longer serves can make nothing final.
    function settlement() external view returns (address);

    /// @notice The most that `mint` can ever accept for the epochs `first` to `last`, both included, in token units.
    /// Whatever is promised here can be minted later, at the latest when a rate limit has refilled.
    function budget(uint32 first, uint32 last) external view returns (uint256 down);

    /// @notice Delivers exactly `amount` token units to the caller, for work of the epochs `first` to `last`, or reverts:
    /// also for 0 if the caller is not whom it serves. No epoch is minted for twice.
    function mint(uint32 first, uint32 last, uint256 amount) external;
}
