// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title One pointer that can be moved, but never at once.
/// @notice Only the authority announces whom the pointer names next, and only after REPLACE_SECONDS anyone puts that in force: longer
/// than every exit takes, so that whoever disagrees is out before. A new announcement begins a new wait; announcing nobody withdraws.
abstract contract Succession {
    /// @notice The shortest wait that a deployment can choose.
    uint256 public constant MIN_REPLACE_SECONDS = 30 days;

    /// @notice How long an announcement waits.
    uint64 public immutable REPLACE_SECONDS;

    /// @notice Whom the pointer names after the wait; address(0) if nobody is announced.
    address public announced;

    /// @notice Unix time in seconds from which the announcement can be put in force.
    uint64 public replaceableAt;

    /// @dev Whom the pointer names.
    address internal _current;

    event Announced(address next, uint64 replaceableAt);
    event Replaced(address next);

    error Succession_TooShort(uint64 replaceSeconds, uint256 shortest);
    error Succession_NotAuthority(address sender, address authority);
    error Succession_NobodyAnnounced();
    error Succession_NotYet(uint256 time, uint64 replaceableAt);

    constructor(address first, uint64 replaceSeconds) {
        if (replaceSeconds < MIN_REPLACE_SECONDS) revert Succession_TooShort(replaceSeconds, MIN_REPLACE_SECONDS);
        REPLACE_SECONDS = replaceSeconds;
        _current = first;
    }

    /// @notice Announces whom the pointer names next. Only the authority.
    function announce(address next) external {
        if (msg.sender != _authority()) revert Succession_NotAuthority(msg.sender, _authority());
        announced = next;
        replaceableAt = uint64(block.timestamp) + REPLACE_SECONDS;
        emit Announced(next, replaceableAt);
    }

    /// @notice Puts the announcement in force once its wait is over. Anyone can call it.
    function replace() external {
        address next = announced;
        if (next == address(0)) revert Succession_NobodyAnnounced();
        if (block.timestamp < replaceableAt) revert Succession_NotYet(block.timestamp, replaceableAt);
        announced = address(0);
        _leaving(_current, next);
        _current = next;
        emit Replaced(next);
    }

    /// @dev What has to be noted when the pointer moves.
    function _leaving(address before, address next) internal virtual {}

    /// @dev Who may announce.
    function _authority() internal view virtual returns (address);
}
