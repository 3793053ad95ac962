// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Who verifies and how much each one's signature weighs: our Stake, or an allow-list.
/// @dev The weights of an epoch are fixed when it begins: whatever changes them acts from the next epoch.
interface IWeights {
    /// @notice What `signer` weighs in `epoch`; 0 if it is nobody's signer then.
    function weightOf(address signer, uint32 epoch) external view returns (uint256);

    /// @notice The sum of all weights in `epoch`.
    function totalWeight(uint32 epoch) external view returns (uint256);

    /// @notice Whose turn it is in the running epoch, by rotation over everyone with a weight in it; address(0) if nobody has one.
    function leadOf(uint256 turn) external view returns (address signer);
}
