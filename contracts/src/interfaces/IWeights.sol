// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Who verifies and how much each one's signature weighs: our Stake, or an allow-list.
/// @dev The weights of an epoch are fixed when it begins: whatever changes them acts from the next epoch.
interface IWeights {
    error Weights_Weightless(address signer, uint32 epoch);

    /// @notice What `signer` weighs in `epoch`; 0 if it is nobody's signer then.
    function weightOf(address signer, uint32 epoch) external view returns (uint256);

    /// @notice The sum of all weights in `epoch`.
    function totalWeight(uint32 epoch) external view returns (uint256);

    /// @notice What `signers` weigh together in `epoch`, and what all do. Reverts if one of them weighs nothing; they are in ascending
    /// order, so nobody counts twice.
    function weigh(address[] calldata signers, uint32 epoch) external view returns (uint256 sum, uint256 total);

    /// @notice How long whoever signed can still be held to account, in seconds after the last epoch in which it weighed.
    function answerableSeconds() external view returns (uint64);

    /// @notice Whose turn it is in the running epoch, by rotation over everyone with a weight in it; address(0) if nobody has one.
    function leadOf(uint256 turn) external view returns (address signer);
}
