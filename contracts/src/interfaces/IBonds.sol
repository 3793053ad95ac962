// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title What stands behind a signer's word, and can be taken if it breaks it: our Stake.
/// @dev The views never revert: closing a lane asks them.
interface IBonds {
    /// @notice Token units at stake behind `signer` while it may still take on duties; 0 for unknown, replaced and leaving ones.
    function stakeOf(address signer) external view returns (uint256);

    /// @notice Who owns the stake behind `signer`, also when it was replaced; one owner for ever.
    function ownerOfSigner(address signer) external view returns (address);

    /// @notice How long a stake is held at least after it stops being behind a signer.
    function UNBONDING_SECONDS() external view returns (uint64);

    /// @notice Token units of the stake behind `signer` that can still be taken, also while it is unbonding; 0 for nobody's.
    function heldOf(address signer) external view returns (uint256);

    /// @notice Takes all that is held behind `signer`, to be burned; only for the challenges, which proved that it contradicted itself.
    function forfeit(address signer) external;

    /// @notice Sends the caller `amount` token units of the stake behind `signer`, or all that is held if that is less.
    function slash(address signer, uint256 amount) external returns (uint256 taken);
}
