// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Governor} from "@openzeppelin/contracts/governance/Governor.sol";
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {GovernorCountingSimple} from "@openzeppelin/contracts/governance/extensions/GovernorCountingSimple.sol";
import {GovernorPreventLateQuorum} from
    "@openzeppelin/contracts/governance/extensions/GovernorPreventLateQuorum.sol";
import {GovernorSettings} from "@openzeppelin/contracts/governance/extensions/GovernorSettings.sol";
import {GovernorTimelockControl} from "@openzeppelin/contracts/governance/extensions/GovernorTimelockControl.sol";
import {GovernorVotes} from "@openzeppelin/contracts/governance/extensions/GovernorVotes.sol";
import {GovernorVotesQuorumFraction} from
    "@openzeppelin/contracts/governance/extensions/GovernorVotesQuorumFraction.sol";
import {IVotes} from "@openzeppelin/contracts/governance/utils/IVotes.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// @title How token holders decide.
/// @notice Votes are counted as of a past second, so what is borrowed for a block votes nothing; a quorum that is reached late gives the
/// others time to answer; what passes waits in the timelock. Every parameter has bounds here that no vote can leave, and the timelock
/// cannot be exchanged.
contract SubakGovernor is
    Governor,
    GovernorVotes,
    GovernorSettings,
    GovernorCountingSimple,
    GovernorVotesQuorumFraction,
    GovernorPreventLateQuorum,
    GovernorTimelockControl
{
    uint256 public constant MIN_VOTING_DELAY_SECONDS = 1 hours;
    uint256 public constant MAX_VOTING_DELAY_SECONDS = 7 days;
    uint256 public constant MIN_VOTING_PERIOD_SECONDS = 1 days;
    uint256 public constant MAX_VOTING_PERIOD_SECONDS = 14 days;
    uint256 public constant MIN_QUORUM_PERCENT = 1;
    uint256 public constant MAX_QUORUM_PERCENT = 30;
    uint256 public constant MIN_EXTENSION_SECONDS = 1 hours;
    uint256 public constant MAX_EXTENSION_SECONDS = 7 days;

    /// @notice Who wants to propose never needs more than this part of all tokens, in percent, when the threshold is set.
    uint256 public constant MAX_THRESHOLD_PERCENT = 1;

    error SubakGovernor_OutOfBounds(string name, uint256 value, uint256 least, uint256 most);
    error SubakGovernor_TimelockForEver(address timelock);

    /// @param token whose delegated units vote; its clock counts seconds
    /// @param timelock executes what passes; this contract must be its proposer
    /// @param votingDelay seconds from a proposal to the second as of which votes count
    /// @param votingPeriod seconds from then to the end of the vote
    /// @param threshold token units that must be delegated to whoever proposes
    /// @param quorumPercent of all tokens that must vote for or abstain
    /// @param lateQuorumExtension seconds that a vote goes on at least once its quorum is reached
    constructor(
        IVotes token,
        TimelockController timelock,
        uint48 votingDelay,
        uint32 votingPeriod,
        uint256 threshold,
        uint256 quorumPercent,
        uint48 lateQuorumExtension
    )
        Governor("Subak Governor")
        GovernorVotes(token)
        GovernorSettings(votingDelay, votingPeriod, threshold)
        GovernorVotesQuorumFraction(quorumPercent)
        GovernorPreventLateQuorum(lateQuorumExtension)
        GovernorTimelockControl(timelock)
    {}

    /// @notice Reverts, whatever a vote says.
    function updateTimelock(TimelockController) public view override {
        revert SubakGovernor_TimelockForEver(timelock());
    }

    /// @inheritdoc Governor
    function state(uint256 proposalId)
        public
        view
        override(Governor, GovernorTimelockControl)
        returns (ProposalState)
    {
        return super.state(proposalId);
    }

    /// @inheritdoc Governor
    function proposalDeadline(uint256 proposalId)
        public
        view
        override(Governor, GovernorPreventLateQuorum)
        returns (uint256)
    {
        return super.proposalDeadline(proposalId);
    }

    /// @inheritdoc Governor
    function proposalNeedsQueuing(uint256 proposalId)
        public
        view
        override(Governor, GovernorTimelockControl)
        returns (bool)
    {
        return super.proposalNeedsQueuing(proposalId);
    }

    /// @inheritdoc GovernorSettings
    function proposalThreshold() public view override(Governor, GovernorSettings) returns (uint256) {
        return super.proposalThreshold();
    }

    function _setVotingDelay(uint48 votingDelay_) internal override {
        _requireWithin("votingDelay", votingDelay_, MIN_VOTING_DELAY_SECONDS, MAX_VOTING_DELAY_SECONDS);
        super._setVotingDelay(votingDelay_);
    }

    function _setVotingPeriod(uint32 votingPeriod_) internal override {
        _requireWithin("votingPeriod", votingPeriod_, MIN_VOTING_PERIOD_SECONDS, MAX_VOTING_PERIOD_SECONDS);
        super._setVotingPeriod(votingPeriod_);
    }

    function _setProposalThreshold(uint256 proposalThreshold_) internal override {
        uint256 supply = IERC20(address(token())).totalSupply();
        _requireWithin("proposalThreshold", proposalThreshold_, 0, supply * MAX_THRESHOLD_PERCENT / 100);
        super._setProposalThreshold(proposalThreshold_);
    }

    function _updateQuorumNumerator(uint256 percent) internal override {
        _requireWithin("quorumPercent", percent, MIN_QUORUM_PERCENT, MAX_QUORUM_PERCENT);
        super._updateQuorumNumerator(percent);
    }

    function _setLateQuorumVoteExtension(uint48 extension) internal override {
        _requireWithin("lateQuorumExtension", extension, MIN_EXTENSION_SECONDS, MAX_EXTENSION_SECONDS);
        super._setLateQuorumVoteExtension(extension);
    }

    /// @dev The bound is MAX_EXTENSION_SECONDS, whatever the voting period.
    function _maxLateQuorumVoteExtension() internal pure override returns (uint256) {
        return MAX_EXTENSION_SECONDS;
    }

    function _tallyUpdated(uint256 proposalId) internal override(Governor, GovernorPreventLateQuorum) {
        super._tallyUpdated(proposalId);
    }

    function _queueOperations(
        uint256 proposalId,
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        bytes32 descriptionHash
    ) internal override(Governor, GovernorTimelockControl) returns (uint48) {
        return super._queueOperations(proposalId, targets, values, calldatas, descriptionHash);
    }

    function _executeOperations(
        uint256 proposalId,
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        bytes32 descriptionHash
    ) internal override(Governor, GovernorTimelockControl) {
        super._executeOperations(proposalId, targets, values, calldatas, descriptionHash);
    }

    function _cancel(
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        bytes32 descriptionHash
    ) internal override(Governor, GovernorTimelockControl) returns (uint256) {
        return super._cancel(targets, values, calldatas, descriptionHash);
    }

    function _executor() internal view override(Governor, GovernorTimelockControl) returns (address) {
        return super._executor();
    }

    function _requireWithin(string memory what, uint256 value, uint256 least, uint256 most) private pure {
        if (value < least || value > most) revert SubakGovernor_OutOfBounds(what, value, least, most);
    }
}
