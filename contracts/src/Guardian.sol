// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Challenges} from "./Challenges.sol";
import {IPausable} from "./interfaces/IPausable.sol";

/// @title A watchman for a network's first months, who can only slow things down.
/// @notice It can pause minting and challenge a result without a bond, until UNTIL. It never moves money, and stops no claim of what is
/// final, no exit and no withdrawal.
contract Guardian {
    /// @notice The longest that a deployment can have a guardian.
    uint256 public constant MAX_SECONDS = 548 days;

    /// @notice Who acts as the guardian; address(0) for nobody.
    address public immutable KEYHOLDER;

    /// @notice Unix time in seconds from which there is no guardian any more.
    uint64 public immutable UNTIL;
    IPausable public immutable MINTER;
    Challenges public immutable CHALLENGES;

    error Guardian_TooLong(uint64 until, uint256 latest);
    error Guardian_NotKeyholder(address sender, address keyholder);
    error Guardian_Over(uint256 time, uint64 until);

    /// @param until at most MAX_SECONDS from now
    constructor(address keyholder, uint64 until, IPausable minter, Challenges challenges) {
        uint256 latest = block.timestamp + MAX_SECONDS;
        if (until > latest) revert Guardian_TooLong(until, latest);
        KEYHOLDER = keyholder;
        UNTIL = until;
        MINTER = minter;
        CHALLENGES = challenges;
    }

    /// @notice Pauses minting for a while, if it was not paused lately.
    function pauseMinting() external {
        _requireKeyholder();
        MINTER.pause();
    }

    /// @notice Challenges the pending result without a bond.
    /// @param reason what differs, for people
    function challenge(uint32 first, uint32 attempt, string calldata reason) external {
        _requireKeyholder();
        CHALLENGES.challenge(first, attempt, reason);
    }

    function _requireKeyholder() private view {
        if (msg.sender != KEYHOLDER) revert Guardian_NotKeyholder(msg.sender, KEYHOLDER);
        if (block.timestamp >= UNTIL) revert Guardian_Over(block.timestamp, UNTIL);
    }
}
