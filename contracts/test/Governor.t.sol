// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IGovernor} from "@openzeppelin/contracts/governance/IGovernor.sol";
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {Strings} from "@openzeppelin/contracts/utils/Strings.sol";
import {AllowList} from "../src/AllowList.sol";
import {Challenges} from "../src/Challenges.sol";
import {Channels} from "../src/Channels.sol";
import {Minter} from "../src/Minter.sol";
import {Settlement} from "../src/Settlement.sol";
import {Stake} from "../src/Stake.sol";
import {SubakGovernor} from "../src/SubakGovernor.sol";
import {Timelock} from "../src/Timelock.sol";
import {Token} from "../src/Token.sol";
import {Treasury} from "../src/Treasury.sol";
import {Governed} from "./support/Governed.sol";

/// @dev Borrows tokens, votes and proposes with them, and gives them back, all in one transaction.
contract FlashVoter {
    function attack(Token token, address lender, uint256 amount, SubakGovernor governor, uint256 id)
        external
        returns (bool proposed)
    {
        token.transferFrom(lender, address(this), amount);
        token.delegate(address(this));
        governor.castVote(id, 1);
        try governor.propose(new address[](1), new uint256[](1), new bytes[](1), "mine") {
            proposed = true;
        } catch {}
        token.transfer(lender, amount);
    }
}

/// @dev What a vote might call and nobody should trust.
contract Hostile {
    function destroy() external {
        selfdestruct(payable(msg.sender));
    }

    function runs(address code, bytes calldata call) external returns (bool done) {
        (done,) = code.delegatecall(call);
    }

    /// @dev Runs as whoever delegates to it, and never as the timelock.
    function spoils() external {
        assembly {
            sstore(0, not(0))
            sstore(1, not(0))
            sstore(2, not(0))
        }
    }
}

contract GovernorTest is Governed {
    function test_vote_changesAPoolsWeight() public {
        bytes32[] memory pools = new bytes32[](2);
        uint16[] memory bps = new uint16[](2);
        (pools[0], pools[1], bps[0], bps[1]) = ("bootstrap", "verifiers", 8_500, 1_500);
        decides(address(minter), abi.encodeCall(minter.setWeights, (20, pools, bps)));
        (bytes32[] memory stored, uint16[] memory storedBps) = minter.weights();
        vm.assertEq(stored[1], "verifiers");
        vm.assertEq(storedBps[1], 1_500);
        vm.assertEq(minter.weightsFrom(), 20);
    }

    function test_vote_changesAPolicy() public {
        decides(address(settlement), abi.encodeCall(settlement.setPolicy, (30, "newer rules")));
        vm.assertEq(settlement.policyAt(29), POLICY);
        vm.assertEq(settlement.policyAt(30), "newer rules");
    }

    function test_vote_expelsAVerifier() public {
        decides(address(stake), abi.encodeCall(stake.expel, (owners[0])));
        uint32 running = uint32((block.timestamp - GENESIS) / EPOCH);
        vm.assertEq(stake.weightOf(vm.addr(keys[0]), running), BOND);
        vm.assertEq(stake.weightOf(vm.addr(keys[0]), running + 1), 0);
        vm.assertEq(stake.totalWeight(running + 1), 2 * BOND);
    }

    function test_vote_punishesAVerifier() public {
        decides(address(stake), abi.encodeCall(stake.punish, (owners[0], 500, "it withheld data")));
        vm.assertEq(stake.heldOf(vm.addr(keys[0])), BOND * 95 / 100);
        vm.assertEq(stake.forfeited(), BOND * 5 / 100);
    }

    /// @dev Where a list takes the place of stakes, the same vote names who verifies.
    function test_vote_namesVerifiersWhereTheyAreListed() public {
        address[] memory signers = new address[](1);
        uint96[] memory weights = new uint96[](1);
        (signers[0], weights[0]) = (vm.addr(keys[0]), 1);
        AllowList listed = new AllowList(address(timelock), address(challenges), GENESIS, EPOCH, signers, weights);
        signers[0] = vm.addr(keys[1]);
        vm.expectRevert(abi.encodeWithSelector(AllowList.AllowList_NotAuthority.selector, ALICE, address(timelock)));
        vm.prank(ALICE);
        listed.set(signers, weights);
        decides(address(listed), abi.encodeCall(listed.set, (signers, weights)));
        uint32 running = uint32((block.timestamp - GENESIS) / EPOCH);
        vm.assertEq(listed.weightOf(vm.addr(keys[0]), running), 1);
        vm.assertEq(listed.weightOf(vm.addr(keys[0]), running + 1), 0);
        vm.assertEq(listed.weightOf(vm.addr(keys[1]), running + 1), 1);
    }

    function test_vote_paysAGrant() public {
        decides(
            address(treasuryOfAll),
            abi.encodeCall(treasuryOfAll.grant, (token, address(0x9), HELD / 20, "for the docs"))
        );
        vm.assertEq(token.balanceOf(address(0x9)), HELD / 20);
    }

    function test_vote_changesItsOwnRulesWithinBounds() public {
        Motion memory m = motion(address(governor), abi.encodeCall(governor.setVotingDelay, (2 days)), "slower");
        m.targets = new address[](5);
        m.values = new uint256[](5);
        m.calls = new bytes[](5);
        m.calls[0] = abi.encodeCall(governor.setVotingDelay, (2 days));
        m.calls[1] = abi.encodeCall(governor.setVotingPeriod, (5 days));
        m.calls[2] = abi.encodeCall(governor.setProposalThreshold, (GENESIS_SUPPLY / 100));
        m.calls[3] = abi.encodeCall(governor.updateQuorumNumerator, (10));
        m.calls[4] = abi.encodeCall(governor.setLateQuorumVoteExtension, (2 days));
        for (uint256 i = 0; i < 5; ++i) {
            m.targets[i] = address(governor);
        }
        carries(ALICE, m);
        executes(m);
        vm.assertEq(governor.votingDelay(), 2 days);
        vm.assertEq(governor.votingPeriod(), 5 days);
        vm.assertEq(governor.proposalThreshold(), GENESIS_SUPPLY / 100);
        vm.assertEq(governor.quorumNumerator(), 10);
        vm.assertEq(governor.lateQuorumVoteExtension(), 2 days);
    }

    /// @dev Two thirds confirm a wrong result twice; someone escalates; members are awake.
    function test_vote_strikesAnEscalatedResult() public {
        opens(0);
        Settlement.EpochRoot memory wrong = draft("wrong", 900e18);
        proposes(wrong, 3);
        token.approve(address(challenges), type(uint256).max);
        challenges.challenge(0, 0, "row 7 differs");
        proposes(wrong, 3);
        challenges.escalate(0, 0);
        (,, uint64 deadline,,) = settlement.pending();
        Motion memory m =
            motion(address(challenges), abi.encodeCall(challenges.strike, (0, 0, 2_500)), "strike range 0");
        carries(BOB, m);
        vm.assertTrue(block.timestamp < deadline);
        executes(m);
        vm.assertEq(uint256(settlement.phase()), uint256(Settlement.Phase.REJECTED));
        (bytes32[] memory rs, bytes32[] memory vss) =
            signed(settlement.digestOf(0, 0, 0, settlement.resultOf(wrong)), keysOf(3));
        challenges.slashFaulty(0, 0, 0, settlement.resultOf(wrong), rs, vss);
        vm.assertEq(stake.heldOf(vm.addr(keys[0])), BOND * 3 / 4);
        vm.assertEq(token.balanceOf(address(settlement)), 0);
    }

    /// @dev The same, and nobody votes: the loss is what the budget of the range lets through.
    function test_vote_silenceLetsAnEscalatedResultStand() public {
        opens(0);
        Settlement.EpochRoot memory wrong = draft("wrong", BUDGET);
        proposes(wrong, 3);
        token.approve(address(challenges), type(uint256).max);
        challenges.challenge(0, 0, "row 7 differs");
        proposes(wrong, 3);
        challenges.escalate(0, 0);
        finalizes(wrong);
        vm.assertEq(token.balanceOf(address(settlement)), BUDGET);
    }

    function test_J79_whatIsBorrowedVotesNothing() public {
        uint256 id = proposesMotion(RAIDER, motion(address(minter), "", "raid"));
        FlashVoter flash = new FlashVoter();
        vm.prank(ALICE);
        token.approve(address(flash), type(uint256).max);
        // In the second of the snapshot itself, and after it.
        vm.warp(block.timestamp + VOTE_DELAY);
        vm.expectRevert();
        flash.attack(token, ALICE, 60_000e18, governor, id);
        vm.warp(block.timestamp + 1);
        vm.assertFalse(flash.attack(token, ALICE, 60_000e18, governor, id));
        (, uint256 forVotes,) = governor.proposalVotes(id);
        vm.assertEq(forVotes, 0);
        votes(ALICE, id, 0);
        (uint256 against,,) = governor.proposalVotes(id);
        vm.assertEq(against, 60_000e18);
    }

    function test_D49_votesThatMoveCountOnce() public {
        uint256 id = proposesMotion(ALICE, motion(address(minter), "", "moves"));
        vm.warp(block.timestamp + VOTE_DELAY + 1);
        votes(ALICE, id, 1);
        vm.prank(ALICE);
        token.transfer(address(0x77), 60_000e18);
        vm.startPrank(address(0x77));
        token.delegate(address(0x77));
        governor.castVote(id, 1);
        vm.stopPrank();
        (, uint256 forVotes,) = governor.proposalVotes(id);
        vm.assertEq(forVotes, 60_000e18);
        vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorAlreadyCastVote.selector, ALICE));
        votes(ALICE, id, 1);
    }

    function test_J80_aLateQuorumGivesTimeToAnswer() public {
        Motion memory m = motion(address(settlement), abi.encodeCall(settlement.setPolicy, (40, "raid")), "late");
        uint256 id = proposesMotion(RAIDER, m);
        uint256 deadline = governor.proposalDeadline(id);
        vm.warp(deadline);
        votes(RAIDER, id, 1);
        vm.assertEq(governor.proposalDeadline(id), deadline + VOTE_EXTENSION);
        vm.warp(deadline + 1);
        requireState(id, IGovernor.ProposalState.Active);
        votes(BOB, id, 0);
        vm.warp(deadline + VOTE_EXTENSION + 1);
        requireState(id, IGovernor.ProposalState.Defeated);
    }

    function test_J81_aProposalCannotBeTakenOver() public {
        string memory text = string.concat("mine #proposer=", Strings.toHexString(ALICE));
        Motion memory m = motion(address(minter), "", text);
        vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorRestrictedProposer.selector, RAIDER));
        proposesMotion(RAIDER, m);
        uint256 id = proposesMotion(ALICE, m);
        vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorUnableToCancel.selector, id, RAIDER));
        vm.prank(RAIDER);
        governor.cancel(m.targets, m.values, m.calls, keccak256(bytes(text)));
        requireState(id, IGovernor.ProposalState.Pending);
    }

    function test_J82_aNewQuorumIsForNewProposals() public {
        uint256 id = proposesMotion(RAIDER, motion(address(minter), "", "old"));
        vm.warp(block.timestamp + VOTE_DELAY + 1);
        uint256 snapshot = governor.proposalSnapshot(id);
        uint256 before = governor.quorum(snapshot);
        vm.assertEq(before, GENESIS_SUPPLY * QUORUM / 100);
        decides(address(governor), abi.encodeCall(governor.updateQuorumNumerator, (30)));
        vm.assertEq(governor.quorum(snapshot), before);
        vm.warp(block.timestamp + 1);
        vm.assertEq(governor.quorum(block.timestamp - 1), token.totalSupply() * 30 / 100);
    }

    function test_J83_cancelledIsNeverExecuted() public {
        Motion memory m = motion(address(settlement), abi.encodeCall(settlement.setPolicy, (40, "no")), "mistake");
        uint256 id = proposesMotion(ALICE, m);
        vm.prank(ALICE);
        governor.cancel(m.targets, m.values, m.calls, keccak256(bytes(m.text)));
        requireState(id, IGovernor.ProposalState.Canceled);
        vm.warp(block.timestamp + VOTE_DELAY + 1);
        vm.expectRevert();
        governor.castVote(id, 1);
        vm.warp(block.timestamp + VOTE_PERIOD);
        vm.expectRevert();
        governor.queue(m.targets, m.values, m.calls, keccak256(bytes(m.text)));
        vm.expectRevert();
        executes(m);
        vm.expectRevert();
        proposesMotion(ALICE, m);
    }

    /// @dev What waits in the timelock can only be stopped by another vote, through the governor.
    function test_J83_anotherVoteCancelsWhatIsQueued() public {
        Motion memory m = motion(address(settlement), abi.encodeCall(settlement.setPolicy, (40, "no")), "queued");
        uint256 id = carries(ALICE, m);
        bytes32 salt = bytes20(address(governor)) ^ keccak256(bytes(m.text));
        bytes32 operation = timelock.hashOperationBatch(m.targets, m.values, m.calls, 0, salt);
        vm.assertTrue(timelock.isOperationReady(operation));
        vm.expectRevert();
        vm.prank(ALICE);
        timelock.cancel(operation);
        decides(
            address(governor),
            abi.encodeCall(governor.relay, (address(timelock), 0, abi.encodeCall(timelock.cancel, (operation))))
        );
        requireState(id, IGovernor.ProposalState.Canceled);
        vm.expectRevert();
        executes(m);
        vm.expectRevert();
        timelock.executeBatch(m.targets, m.values, m.calls, 0, salt);
        vm.assertEq(settlement.policyAt(40), POLICY);
    }

    function test_J83_executedOnceAlsoPastTheGovernor() public {
        Motion memory m =
            motion(address(treasuryOfAll), abi.encodeCall(treasuryOfAll.grant, (token, BOB, 1e18, "once")), "once");
        uint256 id = carries(ALICE, m);
        bytes32 salt = bytes20(address(governor)) ^ keccak256(bytes(m.text));
        timelock.executeBatch(m.targets, m.values, m.calls, 0, salt);
        requireState(id, IGovernor.ProposalState.Executed);
        vm.expectRevert();
        executes(m);
        vm.expectRevert();
        timelock.executeBatch(m.targets, m.values, m.calls, 0, salt);
        vm.assertEq(token.balanceOf(BOB), 40_000e18 + 1e18);
    }

    function test_J83_notBeforeItsDelay() public {
        Motion memory m = motion(address(settlement), abi.encodeCall(settlement.setPolicy, (40, "no")), "early");
        carries(ALICE, m);
        vm.warp(block.timestamp - 1);
        vm.expectRevert();
        executes(m);
        vm.warp(block.timestamp + 1);
        executes(m);
        vm.assertEq(settlement.policyAt(40), "no");
    }

    /// @dev Passes the vote, and then reverts as a whole with this reason.
    function isRefused(address target, bytes memory call, bytes memory why) internal {
        Motion memory m = motion(target, call, string.concat("bad ", Strings.toString(gasleft())));
        carries(ALICE, m);
        vm.expectRevert(why);
        executes(m);
    }

    function outOfBounds(string memory name, uint256 value, uint256 least, uint256 most)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodeWithSelector(SubakGovernor.SubakGovernor_OutOfBounds.selector, name, value, least, most);
    }

    function test_J84_noVoteLeavesTheGovernorsBounds() public {
        address g = address(governor);
        uint256 most = token.totalSupply() / 100;
        isRefused(
            g,
            abi.encodeCall(governor.setVotingDelay, (1 hours - 1)),
            outOfBounds("votingDelay", 1 hours - 1, 1 hours, 7 days)
        );
        isRefused(
            g,
            abi.encodeCall(governor.setVotingDelay, (7 days + 1)),
            outOfBounds("votingDelay", 7 days + 1, 1 hours, 7 days)
        );
        isRefused(
            g,
            abi.encodeCall(governor.setVotingPeriod, (1 days - 1)),
            outOfBounds("votingPeriod", 1 days - 1, 1 days, 14 days)
        );
        isRefused(
            g,
            abi.encodeCall(governor.setVotingPeriod, (14 days + 1)),
            outOfBounds("votingPeriod", 14 days + 1, 1 days, 14 days)
        );
        isRefused(
            g,
            abi.encodeCall(governor.setProposalThreshold, (most + 1)),
            outOfBounds("proposalThreshold", most + 1, 0, most)
        );
        isRefused(g, abi.encodeCall(governor.updateQuorumNumerator, (0)), outOfBounds("quorumPercent", 0, 1, 30));
        isRefused(g, abi.encodeCall(governor.updateQuorumNumerator, (31)), outOfBounds("quorumPercent", 31, 1, 30));
        isRefused(
            g,
            abi.encodeCall(governor.setLateQuorumVoteExtension, (0)),
            outOfBounds("lateQuorumExtension", 0, 1 hours, 7 days)
        );
        isRefused(
            g,
            abi.encodeCall(governor.setLateQuorumVoteExtension, (7 days + 1)),
            outOfBounds("lateQuorumExtension", 7 days + 1, 1 hours, 7 days)
        );
    }

    function test_J84_noVoteExchangesOrWeakensTheTimelock() public {
        isRefused(
            address(governor),
            abi.encodeCall(governor.updateTimelock, (TimelockController(payable(RAIDER)))),
            abi.encodeWithSelector(SubakGovernor.SubakGovernor_TimelockForEver.selector, address(timelock))
        );
        bytes memory forEver = abi.encodeWithSelector(Timelock.Timelock_ForEver.selector);
        bytes32 proposer = timelock.PROPOSER_ROLE();
        isRefused(address(timelock), abi.encodeCall(timelock.updateDelay, (0)), forEver);
        isRefused(address(timelock), abi.encodeCall(timelock.grantRole, (proposer, RAIDER)), forEver);
        isRefused(address(timelock), abi.encodeCall(timelock.grantRole, (bytes32(0), RAIDER)), forEver);
        isRefused(address(timelock), abi.encodeCall(timelock.revokeRole, (proposer, address(governor))), forEver);
        isRefused(
            address(governor),
            abi.encodeCall(
                governor.relay,
                (
                    address(timelock),
                    0,
                    abi.encodeCall(timelock.renounceRole, (timelock.CANCELLER_ROLE(), address(governor)))
                )
            ),
            forEver
        );
        vm.assertEq(timelock.getMinDelay(), EXECUTION_DELAY);
    }

    function test_J84_noVoteLeavesTheOthersBounds() public {
        (bytes32[] memory pools, uint16[] memory bps) = onePool();
        pools[0] = "raiders";
        isRefused(
            address(minter),
            abi.encodeCall(minter.setWeights, (400, pools, bps)),
            abi.encodeWithSelector(Minter.Minter_StepTooLarge.selector, pools[0], 0, 10_000, 2_000)
        );
        isRefused(
            address(channels),
            abi.encodeCall(channels.setShare, (99)),
            abi.encodeWithSelector(Channels.Channels_ShareOutOfBounds.selector, 99, 100, 10_000)
        );
        isRefused(
            address(stake),
            abi.encodeCall(stake.punish, (owners[0], 2_001, "raid")),
            abi.encodeWithSelector(Stake.Stake_PunishTooLarge.selector, 2_001, 2_000)
        );
        isRefused(
            address(settlement),
            abi.encodeCall(settlement.setPolicy, (0, "raid")),
            abi.encodeWithSelector(
                Settlement.Settlement_PolicyTooLate.selector,
                0,
                (block.timestamp + VOTE_DELAY + VOTE_PERIOD + 2 + EXECUTION_DELAY - GENESIS) / EPOCH + 1
            )
        );
        isRefused(
            address(token),
            abi.encodeCall(token.mint, (RAIDER, 1)),
            abi.encodeWithSelector(Token.Token_NotMinter.selector, address(timelock), address(minter))
        );
    }

    function test_J84_noVotePaysOrPunishesPastItsBounds() public {
        isRefused(
            address(treasuryOfAll),
            abi.encodeCall(treasuryOfAll.grant, (token, BOB, HELD / 20 + 1, "a unit too much")),
            abi.encodeWithSelector(Treasury.Treasury_AboveCap.selector, HELD / 20 + 1, HELD / 20)
        );
        isRefused(
            address(challenges),
            abi.encodeCall(challenges.strike, (0, 0, 10_001)),
            abi.encodeWithSelector(Challenges.Challenges_BpsTooLarge.selector, 10_001, 10_000)
        );
        isRefused(
            address(challenges),
            abi.encodeCall(challenges.strike, (0, 0, 1)),
            abi.encodeWithSelector(Challenges.Challenges_NotEscalated.selector, 0, 0)
        );
        isRefused(
            address(channels),
            abi.encodeCall(channels.setRatio, (0, 1)),
            abi.encodeWithSelector(Channels.Channels_RatioZero.selector, 0, 1)
        );
        (bytes32[] memory pools, uint16[] memory bps) = onePool();
        bps[0] = 9_999;
        isRefused(
            address(minter),
            abi.encodeCall(minter.setWeights, (400, pools, bps)),
            abi.encodeWithSelector(Minter.Minter_WeightsSum.selector, 9_999, 10_000)
        );
        vm.assertEq(token.balanceOf(BOB), 40_000e18);
        vm.assertEq(token.balanceOf(address(treasuryOfAll)), HELD);
    }

    /// @dev Two grants of the whole cap in one proposal: neither is paid.
    function test_J85_twoGrantsInOneVoteShareTheCap() public {
        Motion memory m = Motion(new address[](2), new uint256[](2), new bytes[](2), "twice");
        for (uint256 i = 0; i < 2; ++i) {
            m.targets[i] = address(treasuryOfAll);
            m.calls[i] = abi.encodeCall(treasuryOfAll.grant, (token, RAIDER, HELD / 20, "raid"));
        }
        carries(RAIDER, m);
        vm.expectRevert(abi.encodeWithSelector(Treasury.Treasury_AboveCap.selector, HELD / 20, 0));
        executes(m);
        vm.assertEq(token.balanceOf(RAIDER), 20_000e18);
        vm.assertEq(token.balanceOf(address(treasuryOfAll)), HELD);
    }

    /// @dev Nobody else votes. The raider has the quorum alone and tries everything that pays.
    function test_J85_aRaidNobodySeesGetsTheCapAndNoMore() public {
        uint256 before = token.balanceOf(RAIDER);
        Motion memory greedy = motion(
            address(treasuryOfAll), abi.encodeCall(treasuryOfAll.grant, (token, RAIDER, HELD, "all of it")), "raid"
        );
        carries(RAIDER, greedy);
        vm.expectRevert(abi.encodeWithSelector(Treasury.Treasury_AboveCap.selector, HELD, HELD / 20));
        executes(greedy);
        bytes memory most = abi.encodeCall(treasuryOfAll.grant, (token, RAIDER, HELD / 20, "what I can get"));
        Motion memory m = motion(address(treasuryOfAll), most, "first");
        Motion memory again = motion(address(treasuryOfAll), most, "second");
        carries(RAIDER, m);
        executes(m);
        carries(RAIDER, again);
        vm.expectRevert(abi.encodeWithSelector(Treasury.Treasury_AboveCap.selector, HELD / 20, 0));
        executes(again);
        vm.assertEq(token.balanceOf(RAIDER) - before, HELD / 20);
        vm.assertEq(token.balanceOf(address(treasuryOfAll)), HELD - HELD / 20);
        // Another settlement takes over only after longer than every exit takes.
        Motion memory own = motion(address(minter), abi.encodeCall(minter.announce, (RAIDER)), "own mint");
        carries(RAIDER, own);
        executes(own);
        vm.assertEq(minter.settlement(), address(settlement));
        vm.assertTrue(minter.replaceableAt() >= block.timestamp + REPLACE && REPLACE > UNBONDING);
        // What would move stakes, deposits or claims does not exist, so a vote can only take a small part of a stake.
        vm.assertEq(token.balanceOf(address(stake)), 3 * BOND);
    }

    function test_J85_belowTheQuorumNothingPasses() public {
        address small = address(0x511);
        endows(small, GENESIS_SUPPLY * QUORUM / 100 - 1);
        vm.warp(block.timestamp + 1);
        uint256 id = proposesMotion(small, motion(address(minter), "", "small"));
        vm.warp(block.timestamp + VOTE_DELAY + 1);
        votes(small, id, 1);
        vm.warp(block.timestamp + VOTE_PERIOD);
        requireState(id, IGovernor.ProposalState.Defeated);
    }

    function test_propose_needsTheThreshold() public {
        address poor = address(0x511);
        endows(poor, THRESHOLD - 1);
        vm.warp(block.timestamp + 1);
        vm.expectRevert(
            abi.encodeWithSelector(IGovernor.GovernorInsufficientProposerVotes.selector, poor, THRESHOLD - 1, THRESHOLD)
        );
        proposesMotion(poor, motion(address(minter), "", "poor"));
    }

    function test_vote_delegatesCountForWhoTheyNamed() public {
        vm.prank(ALICE);
        token.delegate(BOB);
        vm.warp(block.timestamp + 1);
        uint256 id = proposesMotion(BOB, motion(address(minter), "", "delegated"));
        vm.warp(block.timestamp + VOTE_DELAY + 1);
        votes(BOB, id, 1);
        votes(ALICE, id, 0);
        (uint256 against, uint256 forVotes,) = governor.proposalVotes(id);
        vm.assertEq(forVotes, 100_000e18);
        vm.assertEq(against, 0);
    }

    function test_J89_aTargetHarmsOnlyItself() public {
        Hostile hostile = new Hostile();
        Hostile other = new Hostile();
        decides(address(hostile), abi.encodeCall(hostile.runs, (address(other), abi.encodeCall(other.spoils, ()))));
        decides(address(hostile), abi.encodeCall(hostile.destroy, ()));
        vm.assertTrue(address(timelock).code.length != 0);
        vm.assertTrue(timelock.hasRole(timelock.PROPOSER_ROLE(), address(governor)));
        vm.assertEq(timelock.getMinDelay(), EXECUTION_DELAY);
        decides(address(settlement), abi.encodeCall(settlement.setPolicy, (90, "still here")));
        vm.assertEq(settlement.policyAt(90), "still here");
    }

    function test_J89_theTimelockDelegatesToNobody() public {
        string[3] memory names = ["delegatecall(address,bytes)", "multicall(bytes[])", "upgradeTo(address)"];
        for (uint256 i = 0; i < 3; ++i) {
            vm.prank(address(governor));
            (bool done,) = address(timelock).call(abi.encodeWithSignature(names[i], address(this), ""));
            vm.assertFalse(done);
        }
    }

    function deploysGovernor(uint48 delay, uint32 period, uint256 threshold, uint256 quorum, uint48 extension)
        internal
    {
        new SubakGovernor(token, timelock, delay, period, threshold, quorum, extension);
    }

    function test_deploy_revertsOutOfBounds() public {
        uint256 most = GENESIS_SUPPLY / 100;
        vm.expectRevert(outOfBounds("votingDelay", 0, 1 hours, 7 days));
        deploysGovernor(0, 1 days, 0, 1, 1 hours);
        vm.expectRevert(outOfBounds("votingPeriod", 15 days, 1 days, 14 days));
        deploysGovernor(1 hours, 15 days, 0, 1, 1 hours);
        vm.expectRevert(outOfBounds("proposalThreshold", most + 1, 0, most));
        deploysGovernor(1 hours, 1 days, most + 1, 1, 1 hours);
        vm.expectRevert(outOfBounds("quorumPercent", 31, 1, 30));
        deploysGovernor(1 hours, 1 days, most, 31, 1 hours);
        vm.expectRevert(outOfBounds("lateQuorumExtension", 8 days, 1 hours, 7 days));
        deploysGovernor(1 hours, 1 days, most, 30, 8 days);
        deploysGovernor(1 hours, 1 days, most, 30, 7 days);
    }

    function test_deploy_timelockRevertsOutOfBounds() public {
        vm.expectRevert(
            abi.encodeWithSelector(Timelock.Timelock_DelayOutOfBounds.selector, 1 hours - 1, 1 hours, 30 days)
        );
        new Timelock(1 hours - 1, address(governor));
        vm.expectRevert(
            abi.encodeWithSelector(Timelock.Timelock_DelayOutOfBounds.selector, 30 days + 1, 1 hours, 30 days)
        );
        new Timelock(30 days + 1, address(governor));
        vm.expectRevert(Timelock.Timelock_NoGovernor.selector);
        new Timelock(1 days, address(0));
    }
}
