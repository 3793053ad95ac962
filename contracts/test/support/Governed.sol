// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IGovernor} from "@openzeppelin/contracts/governance/IGovernor.sol";
import {Guardian} from "../../src/Guardian.sol";
import {SubakGovernor} from "../../src/SubakGovernor.sol";
import {Timelock} from "../../src/Timelock.sol";
import {Treasury} from "../../src/Treasury.sol";
import {IPausable} from "../../src/interfaces/IPausable.sol";
import {Challenges} from "../../src/Challenges.sol";
import {Market} from "./Market.sol";

/// @dev A network whose only authority are its members' votes, with three members, a guardian and a treasury.
abstract contract Governed is Market {
    uint48 internal constant VOTE_DELAY = 12 hours;
    uint32 internal constant VOTE_PERIOD = 2 days;
    uint48 internal constant VOTE_EXTENSION = 1 days;
    uint256 internal constant THRESHOLD = 1_000e18;
    uint256 internal constant QUORUM = 4;
    uint256 internal constant EXECUTION_DELAY = 2 days;
    uint64 internal constant GUARDED = 365 days;
    uint256 internal constant HELD = 50_000e18;

    address internal constant KEYHOLDER = address(0x6E);
    address internal constant ALICE = address(0xA11CE);
    address internal constant BOB = address(0xB0B);
    address internal constant RAIDER = address(0x4A1D);

    Timelock internal timelock;
    Treasury internal treasuryOfAll;
    SubakGovernor internal governor;
    Guardian internal guard;
    address private _timelockAt;
    address private _guardAt;

    /// @dev One proposal while it is prepared and decided.
    struct Motion {
        address[] targets;
        uint256[] values;
        bytes[] calls;
        string text;
    }

    function setUp() public virtual override {
        vm.warp(GENESIS - 2 days);
        vm.roll(100);
        uint256 nonce = vm.getNonce(address(this));
        _timelockAt = vm.computeCreateAddress(address(this), nonce);
        _guardAt = vm.computeCreateAddress(address(this), nonce + 11);
        timelock = new Timelock(EXECUTION_DELAY, vm.computeCreateAddress(address(this), nonce + 10));
        treasuryOfAll = new Treasury(_timelockAt);
        deploy();
        governor = new SubakGovernor(
            token, timelock, VOTE_DELAY, VOTE_PERIOD, THRESHOLD, QUORUM, VOTE_EXTENSION
        );
        guard = new Guardian(KEYHOLDER, GENESIS + GUARDED, IPausable(minter), challenges);
        for (uint256 i = 0; i < 3; ++i) {
            joins(owners[i], keys[i], BOND);
        }
        endows(ALICE, 60_000e18);
        endows(BOB, 40_000e18);
        endows(RAIDER, 20_000e18);
        token.transfer(address(treasuryOfAll), HELD);
        vm.warp(block.timestamp + 1);
    }

    function authority() internal view override returns (address) {
        return _timelockAt;
    }

    function guardian() internal view override returns (address) {
        return _guardAt;
    }

    function treasury() internal view override returns (address) {
        return address(treasuryOfAll);
    }

    function endows(address member, uint256 amount) internal {
        token.transfer(member, amount);
        vm.prank(member);
        token.delegate(member);
    }

    function motion(address target, bytes memory call, string memory text) internal pure returns (Motion memory m) {
        m.targets = new address[](1);
        m.values = new uint256[](1);
        m.calls = new bytes[](1);
        (m.targets[0], m.calls[0], m.text) = (target, call, text);
    }

    function proposesMotion(address member, Motion memory m) internal returns (uint256 id) {
        vm.prank(member);
        id = governor.propose(m.targets, m.values, m.calls, m.text);
    }

    function votes(address member, uint256 id, uint8 support) internal {
        vm.prank(member);
        governor.castVote(id, support);
    }

    /// @dev Proposed by `member` and voted for by it alone, up to the second in which it can be executed.
    function carries(address member, Motion memory m) internal returns (uint256 id) {
        id = proposesMotion(member, m);
        vm.warp(block.timestamp + VOTE_DELAY + 1);
        votes(member, id, 1);
        vm.warp(governor.proposalDeadline(id) + 1);
        governor.queue(m.targets, m.values, m.calls, keccak256(bytes(m.text)));
        vm.warp(block.timestamp + EXECUTION_DELAY);
    }

    function executes(Motion memory m) internal {
        governor.execute(m.targets, m.values, m.calls, keccak256(bytes(m.text)));
    }

    /// @dev Through the whole of governance.
    function decides(address target, bytes memory call) internal {
        Motion memory m = motion(target, call, "a decision");
        carries(ALICE, m);
        executes(m);
    }

    function requireState(uint256 id, IGovernor.ProposalState wanted) internal view {
        vm.assertEq(uint256(governor.state(id)), uint256(wanted));
    }
}
