// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";

/// @title The authority of every contract of a network: what a vote decided, after a delay in which whoever disagrees can leave.
/// @notice Only the governor schedules and cancels, anyone executes. Who has which role and how long the delay is never changes: a vote
/// that could hand out a role could make every later vote needless.
contract Timelock is TimelockController {
    /// @notice The bounds of the delay that a deployment can choose, in seconds.
    uint256 public constant MIN_DELAY_SECONDS = 1 hours;
    uint256 public constant MAX_DELAY_SECONDS = 30 days;

    error Timelock_DelayOutOfBounds(uint256 delaySeconds, uint256 least, uint256 most);
    error Timelock_NoGovernor();
    error Timelock_ForEver();
    error Timelock_NoEther();

    /// @param delaySeconds how long everything waits between schedule and execution
    /// @param governor the only proposer; it may not be deployed yet
    constructor(uint256 delaySeconds, address governor)
        TimelockController(delaySeconds, _only(governor), new address[](1), address(0))
    {
        if (delaySeconds < MIN_DELAY_SECONDS || delaySeconds > MAX_DELAY_SECONDS) {
            revert Timelock_DelayOutOfBounds(delaySeconds, MIN_DELAY_SECONDS, MAX_DELAY_SECONDS);
        }
    }

    /// @notice Reverts: what a vote gives away lies in the treasury, which bounds it.
    receive() external payable override {
        revert Timelock_NoEther();
    }

    /// @notice Reverts: the delay is what it was when this contract was deployed.
    function updateDelay(uint256) public pure override {
        revert Timelock_ForEver();
    }

    /// @dev Roles are given while it is constructed, when it has no code, and never again.
    function _grantRole(bytes32 role, address account) internal override returns (bool) {
        if (address(this).code.length != 0) revert Timelock_ForEver();
        return super._grantRole(role, account);
    }

    function _revokeRole(bytes32, address) internal pure override returns (bool) {
        revert Timelock_ForEver();
    }

    function _only(address governor) private pure returns (address[] memory proposers) {
        if (governor == address(0)) revert Timelock_NoGovernor();
        proposers = new address[](1);
        proposers[0] = governor;
    }
}
