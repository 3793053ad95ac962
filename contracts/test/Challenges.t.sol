// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Challenges} from "../src/Challenges.sol";
import {Settlement} from "../src/Settlement.sol";
import {Stake} from "../src/Stake.sol";
import {Disputes} from "./support/Disputes.sol";
import {FalseCoin} from "./support/Odd.sol";
import {Leaf, Tree} from "./support/Tree.sol";

contract ChallengesTest is Disputes {
    using Tree for Leaf[];

    function wrongPhase(Settlement.Phase phase) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(Settlement.Settlement_WrongPhase.selector, phase);
    }

    function faultyIs(uint32 first, uint32 a, Settlement.EpochRoot memory r, uint256 bps) internal view {
        vm.assertEq(challenges.faulty(challenges.keyOf(first, a), settlement.resultOf(r)), bps);
    }

    function test_deploy_revertsOnBond() public {
        Challenges.Config memory c = Challenges.Config(settlement, token, stake, AUTHORITY, GUARDIAN, 0, DATA_FEE);
        vm.expectRevert(Challenges.Challenges_BondZero.selector);
        new Challenges(c);
        c.bond = uint128(type(uint96).max >> 2) + 1;
        vm.expectRevert(abi.encodeWithSelector(Challenges.Challenges_BondTooLarge.selector, c.bond, c.bond - 1));
        new Challenges(c);
        c.bond -= 1;
        new Challenges(c);
    }

    function test_challenge_opensRoundOne() public {
        Settlement.EpochRoot memory r = stands(WRONG);
        arms(DOUBTER, CHALLENGE_BOND);
        uint64 until = uint64(block.timestamp) + RECONFIRM;
        vm.expectEmit(address(challenges));
        emit Challenges.ChallengeOpened(0, 0, DOUBTER, CHALLENGE_BOND, "other root");
        vm.expectEmit(address(settlement));
        emit Settlement.Challenged(0, 0, until);
        vm.prank(DOUBTER);
        challenges.challenge(0, 0, "other root");
        phaseIs(Settlement.Phase.CHALLENGED);
        (uint32 a, uint32 round, uint64 deadline, bytes32 result, bytes32 disputed) = settlement.pending();
        vm.assertEq(a, 0);
        vm.assertEq(round, 1);
        vm.assertEq(deadline, until);
        vm.assertEq(result, settlement.resultOf(r));
        vm.assertEq(disputed, result);
        vm.assertEq(token.balanceOf(address(challenges)), CHALLENGE_BOND);
        vm.assertEq(token.balanceOf(DOUBTER), 0);
    }

    function test_B26_challengeAtDeadline() public {
        stands(WRONG);
        arms(DOUBTER, CHALLENGE_BOND);
        uint64 deadline = runsUntil();
        for (uint256 late = 0; late < 2; ++late) {
            vm.warp(deadline + late);
            vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_RoundOver.selector, deadline + late, deadline));
            vm.prank(DOUBTER);
            challenges.challenge(0, 0, "");
        }
        vm.warp(deadline - 1);
        vm.prank(DOUBTER);
        challenges.challenge(0, 0, "");
        phaseIs(Settlement.Phase.CHALLENGED);
    }

    function refusesChallenge(uint32 first, uint32 a, bytes memory why) internal {
        vm.expectRevert(why);
        vm.prank(DOUBTER);
        challenges.challenge(first, a, "");
    }

    function test_challenge_revertsIfNotPending() public {
        arms(DOUBTER, CHALLENGE_BOND);
        refusesChallenge(0, 0, wrongPhase(Settlement.Phase.IDLE));
        opens(0);
        refusesChallenge(0, 0, wrongPhase(Settlement.Phase.OPEN));
        Settlement.EpochRoot memory r = draft(RIGHT, 1);
        proposes(r, 3);
        refusesChallenge(0, 1, abi.encodeWithSelector(Settlement.Settlement_NotRunning.selector, 0, 1, 0, 0));
        refusesChallenge(1, 0, abi.encodeWithSelector(Settlement.Settlement_NotRunning.selector, 1, 0, 0, 0));
        finalizes(r);
        refusesChallenge(0, 0, abi.encodeWithSelector(Settlement.Settlement_NotRunning.selector, 0, 0, 1, 0));
        vm.assertEq(token.balanceOf(DOUBTER), CHALLENGE_BOND);
    }

    function test_B24_challengeTwiceReverts() public {
        Settlement.EpochRoot memory r = stands(RIGHT);
        doubts(DOUBTER);
        bytes memory why = abi.encodeWithSelector(Challenges.Challenges_AlreadyChallenged.selector, 0, 0, DOUBTER);
        refusesChallenge(0, 0, why);
        proposes(r, 3);
        refusesChallenge(0, 0, why);
    }

    function test_challenge_guardianPaysNothing() public {
        Settlement.EpochRoot memory r = stands(RIGHT);
        vm.prank(GUARDIAN);
        challenges.challenge(0, 0, "strange");
        phaseIs(Settlement.Phase.CHALLENGED);
        proposes(r, 3);
        finalizes(r);
        vm.assertEq(uint256(outcomeOf(0, 0)), uint256(Challenges.Outcome.CONFIRMED));
        // What costs it nothing makes nobody else's doubt dearer.
        vm.assertEq(challenges.bondNow(), CHALLENGE_BOND);
        vm.expectRevert(abi.encodeWithSelector(Challenges.Challenges_NothingToSettle.selector, 0, 0));
        challenges.settleBonds(0, 0);
    }

    function test_B29_bondTokenThatReturnsFalse() public {
        FalseCoin odd = new FalseCoin();
        bondsIn(odd);
        Settlement.EpochRoot memory r = stands(RIGHT);
        refusesChallenge(0, 0, abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(odd)));
        phaseIs(Settlement.Phase.PENDING);
        (,,, bytes32 result,) = settlement.pending();
        vm.assertEq(result, settlement.resultOf(r));
    }

    function test_B29_blacklistedChallengerBlocksNobody() public {
        bondsIn(IERC20(address(coin)));
        stands(RIGHT);
        coin.mint(DOUBTER, CHALLENGE_BOND);
        vm.startPrank(DOUBTER);
        coin.approve(address(challenges), CHALLENGE_BOND);
        challenges.challenge(0, 0, "");
        vm.stopPrank();
        coin.freeze(DOUBTER);
        rejects();
        challenges.settleBonds(0, 0);
        vm.assertEq(coin.balanceOf(address(challenges)), CHALLENGE_BOND);
        opens(0);
        proposes(draft(RIGHT, 1), 3);
        coin.thaw(DOUBTER);
        challenges.settleBonds(0, 0);
        vm.assertEq(coin.balanceOf(DOUBTER), CHALLENGE_BOND);
    }

    function test_B27_sameResultInRoundOneBurnsTheBond() public {
        Settlement.EpochRoot memory r = stands(RIGHT);
        doubts(DOUBTER);
        uint64 deadline = uint64(block.timestamp) + CHALLENGE;
        proposes(r, 2);
        phaseIs(Settlement.Phase.PENDING);
        vm.assertEq(runsUntil(), deadline);
        vm.expectRevert(abi.encodeWithSelector(Challenges.Challenges_StillRunning.selector, 0, 0));
        challenges.settleBonds(0, 0);
        vm.warp(deadline);
        bytes32 result = settlement.resultOf(r);
        vm.expectEmit(address(challenges));
        emit Challenges.Ruled(0, 0, result, result, Challenges.Outcome.CONFIRMED);
        settlement.finalize(r);
        uint256 supply = token.totalSupply();
        vm.expectEmit(address(challenges));
        emit Challenges.BondSettled(0, 0, DOUBTER, CHALLENGE_BOND, true);
        challenges.settleBonds(0, 0);
        vm.assertEq(supply - token.totalSupply(), CHALLENGE_BOND);
        vm.assertEq(token.balanceOf(address(challenges)), 0);
        faultyIs(0, 0, r, 0);
        vm.expectRevert(abi.encodeWithSelector(Challenges.Challenges_NothingToSettle.selector, 0, 0));
        challenges.settleBonds(0, 0);
    }

    function test_B27_votesOfRoundZeroDoNotCount() public {
        opens(0);
        Settlement.EpochRoot memory r = draft(RIGHT, 1);
        (bytes32[] memory rs, bytes32[] memory vss) = signed(digest(r), keysOf(3));
        sealsPass();
        settlement.propose(r, rs, vss);
        doubts(DOUBTER);
        (bool done,) = address(settlement).call(abi.encodeCall(settlement.propose, (r, rs, vss)));
        vm.assertFalse(done);
        address turn = lead();
        vm.expectRevert(wrongPhase(Settlement.Phase.CHALLENGED));
        vm.prank(turn);
        settlement.open(0, 0, 0, new bytes32[](1), 99);
    }

    function test_roundOne_replaces() public {
        Settlement.EpochRoot memory wrong = stands(WRONG, 7);
        doubts(DOUBTER);
        Settlement.EpochRoot memory right = draft(RIGHT, 5);
        proposes(right, 2);
        finalizes(right);
        (bytes32 root,, uint128 rewards,,) = settlement.finals();
        vm.assertEq(root, RIGHT);
        vm.assertEq(rewards, 5);
        vm.assertEq(uint256(outcomeOf(0, 0)), uint256(Challenges.Outcome.REPLACED));
        faultyIs(0, 0, wrong, 200);
        faultyIs(0, 0, right, 0);
        challenges.settleBonds(0, 0);
        vm.assertEq(token.balanceOf(DOUBTER), CHALLENGE_BOND);
        vm.assertEq(challenges.bondNow(), CHALLENGE_BOND);
    }

    function test_roundOne_keepsTheBooks() public {
        Settlement.EpochRoot memory r = stands(WRONG);
        doubts(DOUBTER);
        bytes32 opened = keccak256(abi.encodePacked(r.bookHashes));
        r.bookHashes[0] = "other";
        (bytes32[] memory rs, bytes32[] memory vss) = signed(digest(r), keysOf(3));
        bytes32 other = keccak256(abi.encodePacked(r.bookHashes));
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_OtherBooks.selector, other, opened));
        settlement.propose(r, rs, vss);
        r = draft(RIGHT, 1);
        r.prevStateRoot = "other";
        (rs, vss) = signed(digest(r), keysOf(3));
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_NotFromFinal.selector, 0, bytes32("other")));
        settlement.propose(r, rs, vss);
    }

    function test_roundOne_endsAtItsDeadline() public {
        Settlement.EpochRoot memory r = stands(RIGHT);
        doubts(DOUBTER);
        uint64 deadline = runsUntil();
        vm.warp(deadline - 1);
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_InWindow.selector, deadline - 1, deadline));
        settlement.reject();
        vm.warp(deadline);
        (bytes32[] memory rs, bytes32[] memory vss) = signed(digest(r), keysOf(3));
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_RoundOver.selector, deadline, deadline));
        settlement.propose(r, rs, vss);
        vm.expectEmit(address(settlement));
        emit Settlement.Rejected(0, 0, 0, 1);
        settlement.reject();
        phaseIs(Settlement.Phase.REJECTED);
        vm.expectRevert(wrongPhase(Settlement.Phase.REJECTED));
        settlement.reject();
    }

    function test_B30_finalizeAfterRejectReverts() public {
        Settlement.EpochRoot memory r = stands(WRONG);
        doubts(DOUBTER);
        rejects();
        vm.warp(block.timestamp + 30 days);
        vm.expectRevert(wrongPhase(Settlement.Phase.REJECTED));
        settlement.finalize(r);
        vm.assertEq(next(), 0);
    }

    function test_B32_rejectedBudgetWaits() public {
        stands(WRONG, BUDGET);
        doubts(DOUBTER);
        rejects();
        challenges.settleBonds(0, 0);
        vm.assertEq(token.balanceOf(DOUBTER), CHALLENGE_BOND);
        vm.assertEq(challenges.bondNow(), CHALLENGE_BOND);
        vm.assertEq(settlement.currentAttempt(), 1);
        vm.assertEq(lead(), vm.addr(keys[1]));
        vm.warp(block.timestamp + 6 * ATTEMPT); // epoch 1 is over too
        opens(1);
        Settlement.EpochRoot memory r = draft(RIGHT, 2 * BUDGET);
        proposes(r, 2);
        finalizes(r);
        vm.assertEq(token.balanceOf(address(settlement)), 2 * BUDGET);
        vm.assertEq(next(), 2);
    }

    /// @dev No block for a month, twice: the turn and round 1 pass meanwhile, what they were about is settled later.
    function test_B33_outageCostsTimeAndNothingElse() public {
        opens(0);
        Settlement.EpochRoot memory r = draft(RIGHT, BUDGET);
        (bytes32[] memory rs, bytes32[] memory vss) = signed(digest(r), keysOf(3));
        vm.warp(block.timestamp + 30 days);
        uint32 turn = settlement.currentAttempt();
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_NotAttempt.selector, 0, turn));
        settlement.propose(r, rs, vss);
        opens(0);
        r = draft(WRONG, BUDGET);
        proposes(r, 3);
        doubts(DOUBTER);
        (rs, vss) = signed(digest(r), keysOf(3));
        uint64 deadline = runsUntil();
        vm.warp(block.timestamp + 30 days);
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_RoundOver.selector, block.timestamp, deadline));
        settlement.propose(r, rs, vss);
        settlement.reject();
        challenges.settleBonds(0, turn);
        vm.assertEq(token.balanceOf(DOUBTER), CHALLENGE_BOND);
        opens(0);
        r = draft(RIGHT, BUDGET);
        proposes(r, 3);
        finalizes(r);
        vm.assertEq(token.balanceOf(address(settlement)), BUDGET);
        vm.assertEq(stake.heldOf(vm.addr(keys[0])), BOND);
    }

    /// @dev No block until the challenge window is over. Windows are of the chain's own time, so nobody's bond counts any more: what two
    /// thirds signed costs at most the budget of its range, and what its leaves disprove is struck before anyone makes it final.
    function test_B33_outageOverTheWindowCostsAtMostTheBudget() public {
        Leaf[] memory tree = doubled();
        bytes32[] memory one = tree.proof(leafOf(tree, address(0x91), 10));
        bytes32[] memory two = tree.proof(leafOf(tree, address(0x91), 11));
        Settlement.EpochRoot memory r = stands(tree.root(), 26);
        uint64 deadline = runsUntil();
        arms(DOUBTER, CHALLENGE_BOND);
        vm.warp(deadline + 30 days);
        refusesChallenge(
            0, 0, abi.encodeWithSelector(Settlement.Settlement_RoundOver.selector, deadline + 30 days, deadline)
        );
        challenges.disproveDuplicate(r, 0, address(0x91), [uint256(10), 0, 11, 0], one, two);
        phaseIs(Settlement.Phase.REJECTED);
        r = stands(WRONG, BUDGET);
        vm.warp(runsUntil() + 30 days);
        settlement.finalize(r);
        vm.assertEq(token.balanceOf(address(settlement)), BUDGET);
        vm.assertEq(token.balanceOf(DOUBTER), CHALLENGE_BOND);
    }

    /// @dev Whoever makes blocks moves their time by seconds: a window is shorter by no more than that, and never over before its second.
    function test_B33_driftMovesAWindowByItself() public {
        vm.warp(readyAt(0) - 1);
        address turn = lead();
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_NotOver.selector, 0, readyAt(0)));
        vm.prank(turn);
        settlement.open(0, 0, 0, new bytes32[](1), 1);
        vm.warp(readyAt(0) + 15); // a block that says it is later than it is
        Settlement.EpochRoot memory r = stands(RIGHT);
        uint64 deadline = runsUntil();
        vm.assertEq(deadline, readyAt(0) + 15 + SEAL + CHALLENGE);
        vm.warp(deadline - 1);
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_InWindow.selector, deadline - 1, deadline));
        settlement.finalize(r);
        vm.warp(deadline);
        settlement.finalize(r);
        vm.assertEq(next(), 1);
    }

    function test_B28_selfChallengeCostsTheBond() public {
        Settlement.EpochRoot memory r = stands(RIGHT);
        doubts(owners[0]); // who proposed it
        proposes(r, 2);
        finalizes(r);
        challenges.settleBonds(0, 0);
        vm.assertEq(token.balanceOf(owners[0]), 0);
        // It bought so much delay and no more.
        vm.assertLe(block.timestamp, readyAt(0) + SEAL + 2 * CHALLENGE + RECONFIRM);
    }

    function test_B28_bondsGrowAndFall() public {
        uint256[4] memory costs = [uint256(1), 2, 4, 4];
        for (uint32 epoch = 0; epoch < 4; ++epoch) {
            Settlement.EpochRoot memory r = stands(keccak256(abi.encode(epoch)));
            vm.assertEq(challenges.bondNow(), costs[epoch] * CHALLENGE_BOND);
            confirms(r);
            finalizes(r);
            challenges.settleBonds(epoch, 0);
        }
        uint256 lostAt = block.timestamp;
        // Epochs that became final at once after a long dispute make nothing cheaper.
        vm.warp(readyAt(29));
        settles(29, RIGHT, 1);
        vm.assertLe(block.timestamp, lostAt + 30 days - 1);
        vm.assertEq(challenges.bondNow(), 4 * CHALLENGE_BOND);
        vm.warp(lostAt + 30 days);
        vm.assertEq(challenges.bondNow(), 2 * CHALLENGE_BOND);
        vm.warp(lostAt + 60 days);
        vm.assertEq(challenges.bondNow(), CHALLENGE_BOND);
        vm.warp(lostAt + 600 days);
        vm.assertEq(challenges.bondNow(), CHALLENGE_BOND);
    }

    function test_B34_missingDataExtendsOnce() public {
        stands(RIGHT);
        uint64 deadline = runsUntil();
        arms(DOUBTER, 2 * DATA_FEE);
        uint256 supply = token.totalSupply();
        vm.expectEmit(address(challenges));
        emit Challenges.DataChallenged(0, 0, DOUBTER, "books/0/entries.parquet");
        vm.expectEmit(address(settlement));
        emit Settlement.Extended(0, 0, deadline + CHALLENGE);
        vm.prank(DOUBTER);
        challenges.challengeData(0, 0, "books/0/entries.parquet");
        vm.assertEq(runsUntil(), deadline + CHALLENGE);
        vm.assertEq(supply - token.totalSupply(), DATA_FEE);
        vm.expectRevert(abi.encodeWithSelector(Challenges.Challenges_AlreadyExtended.selector, 0, 0));
        vm.prank(DOUBTER);
        challenges.challengeData(0, 0, "");
        // The root that nobody can check can still be doubted.
        vm.warp(deadline + CHALLENGE - 1);
        doubts(DOUBTER);
        phaseIs(Settlement.Phase.CHALLENGED);
    }

    function test_B34_missingDataAtDeadlineReverts() public {
        stands(RIGHT);
        arms(DOUBTER, DATA_FEE);
        uint64 deadline = runsUntil();
        vm.warp(deadline);
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_RoundOver.selector, deadline, deadline));
        vm.prank(DOUBTER);
        challenges.challengeData(0, 0, "");
    }

    function test_escalate_onlyRoundOneInItsWindow() public {
        Settlement.EpochRoot memory r = stands(RIGHT);
        arms(ESCALATOR, 4 * uint256(CHALLENGE_BOND));
        vm.prank(ESCALATOR);
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_WrongRound.selector, 0));
        challenges.escalate(0, 0);
        confirms(r);
        uint64 deadline = runsUntil();
        vm.warp(deadline);
        vm.prank(ESCALATOR);
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_RoundOver.selector, deadline, deadline));
        challenges.escalate(0, 0);
        vm.warp(deadline - 1);
        vm.expectEmit(address(settlement));
        emit Settlement.Escalated(0, 0, deadline - 1 + GOVERNANCE);
        vm.prank(ESCALATOR);
        challenges.escalate(0, 0);
        phaseIs(Settlement.Phase.ESCALATED);
        vm.assertEq(token.balanceOf(address(challenges)), 5 * uint256(CHALLENGE_BOND));
        vm.prank(ESCALATOR);
        vm.expectRevert(wrongPhase(Settlement.Phase.ESCALATED));
        challenges.escalate(0, 0);
    }

    function test_escalate_silenceLetsItStand() public {
        Settlement.EpochRoot memory r = stands(RIGHT);
        confirms(r);
        escalates(ESCALATOR);
        uint64 deadline = runsUntil();
        vm.warp(deadline - 1);
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_InWindow.selector, deadline - 1, deadline));
        settlement.finalize(r);
        finalizes(r);
        uint256 supply = token.totalSupply();
        challenges.settleBonds(0, 0);
        vm.assertEq(supply - token.totalSupply(), 5 * uint256(CHALLENGE_BOND));
        vm.assertEq(token.balanceOf(address(challenges)), 0);
        vm.expectRevert(abi.encodeWithSelector(Challenges.Challenges_NotEscalated.selector, 0, 0));
        vm.prank(AUTHORITY);
        challenges.strike(0, 0, 1);
    }

    function test_strike_opensAgainAndSlashes() public {
        Settlement.EpochRoot memory r = stands(WRONG);
        confirms(r);
        escalates(ESCALATOR);
        strikes(10_000);
        phaseIs(Settlement.Phase.REJECTED);
        faultyIs(0, 0, r, 10_000);
        challenges.settleBonds(0, 0);
        vm.assertEq(token.balanceOf(DOUBTER), CHALLENGE_BOND);
        vm.assertEq(token.balanceOf(ESCALATOR), 4 * uint256(CHALLENGE_BOND));
        // By the votes of either round.
        for (uint32 round = 0; round < 2; ++round) {
            (bytes32[] memory rs, bytes32[] memory vss) = votes(round, 0, 0, round, r);
            challenges.slashFaulty(0, 0, round, settlement.resultOf(r), rs, vss);
            vm.assertEq(stake.heldOf(vm.addr(keys[round])), 0);
        }
        vm.assertEq(stake.heldOf(vm.addr(keys[2])), BOND);
        vm.assertEq(token.balanceOf(DOUBTER), CHALLENGE_BOND + 2 * uint256(BOND) / 20);
        opens(0);
    }

    /// @dev The vote of verifier `i` alone.
    function votes(uint256 i, uint32 first, uint32 a, uint32 round, Settlement.EpochRoot memory r)
        internal
        view
        returns (bytes32[] memory rs, bytes32[] memory vss)
    {
        uint256[] memory by = new uint256[](1);
        by[0] = keys[i];
        return signed(settlement.digestOf(first, a, round, settlement.resultOf(r)), by);
    }

    function test_strike_ofReplacementSparesTheFirst() public {
        Settlement.EpochRoot memory right = stands(RIGHT);
        doubts(DOUBTER);
        Settlement.EpochRoot memory wrong = draft(WRONG, 1);
        proposes(wrong, 2);
        escalates(ESCALATOR);
        strikes(500);
        faultyIs(0, 0, right, 0);
        faultyIs(0, 0, wrong, 500);
        (bytes32[] memory rs, bytes32[] memory vss) = votes(2, 0, 0, 0, right);
        bytes32 result = settlement.resultOf(right);
        vm.expectRevert(abi.encodeWithSelector(Challenges.Challenges_NotFaulty.selector, 0, 0, result));
        challenges.slashFaulty(0, 0, 0, result, rs, vss);
    }

    function test_strike_reverts() public {
        Settlement.EpochRoot memory r = stands(WRONG);
        vm.expectRevert(abi.encodeWithSelector(Challenges.Challenges_NotAuthority.selector, address(this), AUTHORITY));
        challenges.strike(0, 0, 1);
        vm.startPrank(AUTHORITY);
        vm.expectRevert(abi.encodeWithSelector(Challenges.Challenges_NotEscalated.selector, 0, 0));
        challenges.strike(0, 0, 1);
        vm.stopPrank();
        confirms(r);
        escalates(ESCALATOR);
        vm.startPrank(AUTHORITY);
        vm.expectRevert(abi.encodeWithSelector(Challenges.Challenges_BpsTooLarge.selector, 10_001, 10_000));
        challenges.strike(0, 0, 10_001);
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_NotRunning.selector, 0, 1, 0, 0));
        challenges.strike(0, 1, 1);
        vm.stopPrank();
        phaseIs(Settlement.Phase.ESCALATED);
    }

    function test_ruled_onlySettlement() public {
        vm.expectRevert(
            abi.encodeWithSelector(Challenges.Challenges_NotSettlement.selector, address(this), address(settlement))
        );
        challenges.ruled(0, 0, 0, 0);
    }

    /// @dev Two accounts, of which the first has two leaves.
    function doubled() internal pure returns (Leaf[] memory tree) {
        tree = new Leaf[](3);
        tree[0] = Leaf(address(0x91), 10, 0);
        tree[1] = Leaf(address(0x91), 11, 0);
        tree[2] = Leaf(address(0x92), 5, 0);
        tree.sort();
    }

    function leafOf(Leaf[] memory tree, address account, uint256 rewards) internal pure returns (uint256 i) {
        while (tree[i].account != account || tree[i].rewards != rewards) ++i;
    }

    function test_A04_duplicateLeafIsStruck() public {
        Leaf[] memory tree = doubled();
        Settlement.EpochRoot memory r = stands(tree.root(), 26);
        (uint256 a, uint256 b) = (leafOf(tree, address(0x91), 10), leafOf(tree, address(0x91), 11));
        bytes32[] memory one = tree.proof(a);
        bytes32[] memory two = tree.proof(b);
        vm.expectRevert(abi.encodeWithSelector(Challenges.Challenges_NoContradiction.selector, address(0x91)));
        challenges.disproveDuplicate(r, 0, address(0x91), [uint256(10), 0, 10, 0], one, one);
        vm.expectRevert(abi.encodeWithSelector(Challenges.Challenges_ProofInvalid.selector, r.root));
        challenges.disproveDuplicate(r, 0, address(0x91), [uint256(10), 0, 12, 0], one, two);
        vm.expectRevert(abi.encodeWithSelector(Challenges.Challenges_ProofInvalid.selector, r.root));
        challenges.disproveDuplicate(r, 0, address(0x92), [uint256(10), 0, 11, 0], one, two);
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_NotRunning.selector, 0, 1, 0, 0));
        challenges.disproveDuplicate(r, 1, address(0x91), [uint256(10), 0, 11, 0], one, two);
        vm.expectEmit(address(challenges));
        emit Challenges.Faulty(0, 0, settlement.resultOf(r), 2_000);
        challenges.disproveDuplicate(r, 0, address(0x91), [uint256(10), 0, 11, 0], one, two);
        phaseIs(Settlement.Phase.REJECTED);
        vm.assertEq(uint256(outcomeOf(0, 0)), uint256(Challenges.Outcome.STRUCK));
        (bytes32[] memory rs, bytes32[] memory vss) =
            signed(settlement.digestOf(0, 0, 0, settlement.resultOf(r)), keysOf(3));
        uint256 supply = token.totalSupply();
        challenges.slashFaulty(0, 0, 0, settlement.resultOf(r), rs, vss);
        // Nobody challenged: all of it burns.
        vm.assertEq(supply - token.totalSupply(), 3 * uint256(BOND) / 5);
        vm.expectRevert(wrongPhase(Settlement.Phase.REJECTED));
        challenges.disproveDuplicate(r, 0, address(0x91), [uint256(10), 0, 11, 0], one, two);
    }

    function test_disprove_inEveryPhaseThatWaits() public {
        Leaf[] memory tree = doubled();
        bytes32[] memory one = tree.proof(leafOf(tree, address(0x91), 10));
        bytes32[] memory two = tree.proof(leafOf(tree, address(0x91), 11));
        for (uint32 a = 0; a < 3; ++a) {
            Settlement.EpochRoot memory r = stands(tree.root(), 26);
            if (a > 0) doubts(DOUBTER);
            if (a > 1) {
                proposes(r, 3);
                escalates(ESCALATOR);
                vm.warp(runsUntil() + 1); // too late for nobody, as long as it is not final
            }
            challenges.disproveDuplicate(r, a, address(0x91), [uint256(10), 0, 11, 0], one, two);
            phaseIs(Settlement.Phase.REJECTED);
            if (a > 0) challenges.settleBonds(0, a);
        }
        vm.assertEq(token.balanceOf(DOUBTER), 2 * uint256(CHALLENGE_BOND));
        vm.assertEq(token.balanceOf(ESCALATOR), 4 * uint256(CHALLENGE_BOND));
        vm.assertEq(token.balanceOf(address(challenges)), 0);
    }

    function test_disprove_revertsForWhatDoesNotStand() public {
        Leaf[] memory tree = doubled();
        bytes32[] memory one = tree.proof(leafOf(tree, address(0x91), 10));
        bytes32[] memory two = tree.proof(leafOf(tree, address(0x91), 11));
        Settlement.EpochRoot memory r = stands(RIGHT, 26);
        bytes32 standing = settlement.resultOf(r);
        r.root = tree.root();
        bytes32 other = settlement.resultOf(r);
        vm.expectRevert(abi.encodeWithSelector(Challenges.Challenges_NotStanding.selector, other, standing));
        challenges.disproveDuplicate(r, 0, address(0x91), [uint256(10), 0, 11, 0], one, two);
    }

    function test_A08_loweredLeafIsStruck() public {
        Leaf[] memory tree = new Leaf[](2);
        (tree[0], tree[1]) = (Leaf(address(0x91), 10, 0), Leaf(address(0x92), 5, 0));
        tree = pays(tree, 15);
        uint256 i = leafOf(tree, address(0x91), 10);
        bytes32[] memory had = tree.proof(i);
        tree[i].rewards = 9;
        tree[1 - i].rewards = 6;
        tree.sort();
        Settlement.EpochRoot memory r = stands(tree.root(), 0);
        bytes32[] memory has = tree.proof(leafOf(tree, address(0x91), 9));
        vm.expectRevert(abi.encodeWithSelector(Challenges.Challenges_NoContradiction.selector, address(0x91)));
        challenges.disproveLowered(r, 0, address(0x91), [uint256(9), 0, 9, 0], had, has);
        vm.expectRevert(abi.encodeWithSelector(Challenges.Challenges_ProofInvalid.selector, r.prevRoot));
        challenges.disproveLowered(r, 0, address(0x91), [uint256(11), 0, 9, 0], had, has);
        vm.expectRevert(abi.encodeWithSelector(Challenges.Challenges_ProofInvalid.selector, r.root));
        challenges.disproveLowered(r, 0, address(0x91), [uint256(10), 0, 8, 0], had, has);
        challenges.disproveLowered(r, 0, address(0x91), [uint256(10), 0, 9, 0], had, has);
        phaseIs(Settlement.Phase.REJECTED);
        faultyIs(1, 0, r, 2_000);
    }

    function equivocates(uint256 key, uint32 a, uint32 b, bytes32 result, bytes32 other) internal {
        (bytes32 r, bytes32 vs) = voteOf(key, 0, a, 0, result);
        (bytes32 r2, bytes32 vs2) = voteOf(key, 0, b, 0, other);
        challenges.slashEquivocation(0, a, 0, result, r, vs, other, r2, vs2);
    }

    function test_equivocation_takesAll() public {
        vm.expectEmit(address(challenges));
        emit Challenges.Equivocated(vm.addr(keys[0]), 0, 0, 0, RIGHT, WRONG);
        vm.expectEmit(address(stake));
        emit Stake.Forfeited(owners[0], vm.addr(keys[0]), BOND);
        vm.prank(address(0xBEEF));
        equivocates(keys[0], 0, 0, RIGHT, WRONG);
        vm.assertEq(stake.heldOf(vm.addr(keys[0])), 0);
        vm.assertEq(stake.heldOf(vm.addr(keys[1])), BOND);
        uint256 supply = token.totalSupply();
        stake.burnForfeited();
        vm.assertEq(supply - token.totalSupply(), BOND);
    }

    function test_C39_reporterGetsNothing() public {
        uint256 before = token.balanceOf(owners[0]);
        vm.prank(owners[0]);
        equivocates(keys[0], 0, 0, RIGHT, WRONG);
        stake.burnForfeited();
        vm.assertEq(token.balanceOf(owners[0]), before);
        vm.assertEq(token.balanceOf(address(challenges)), 0);
    }

    function test_C37_sameEvidenceTwiceReverts() public {
        equivocates(keys[0], 0, 0, RIGHT, WRONG);
        bytes memory why = abi.encodeWithSelector(Stake.Stake_NothingHeld.selector, owners[0]);
        vm.expectRevert(why);
        this.again(RIGHT, WRONG);
        vm.expectRevert(why);
        this.again(WRONG, RIGHT);
    }

    function again(bytes32 result, bytes32 other) external {
        equivocates(keys[0], 0, 0, result, other);
    }

    function test_equivocation_revertsWithoutContradiction() public {
        (bytes32 r, bytes32 vs) = voteOf(keys[0], 0, 0, 0, RIGHT);
        vm.expectRevert(abi.encodeWithSelector(Challenges.Challenges_SameResult.selector, RIGHT));
        challenges.slashEquivocation(0, 0, 0, RIGHT, r, vs, RIGHT, r, vs);
        (bytes32 r2, bytes32 vs2) = voteOf(keys[1], 0, 0, 0, WRONG);
        vm.expectRevert(
            abi.encodeWithSelector(Challenges.Challenges_OtherSigner.selector, vm.addr(keys[0]), vm.addr(keys[1]))
        );
        challenges.slashEquivocation(0, 0, 0, RIGHT, r, vs, WRONG, r2, vs2);
    }

    /// @dev Another attempt, round, range, chain or contract is another question: two answers to two questions are no contradiction.
    function test_B21_otherQuestionsAreNoContradiction() public {
        bytes32[5] memory others;
        others[0] = settlement.digestOf(0, 1, 0, WRONG);
        others[1] = settlement.digestOf(0, 0, 1, WRONG);
        others[2] = settlement.digestOf(1, 0, 0, WRONG);
        vm.chainId(4_242);
        others[3] = settlement.digestOf(0, 0, 0, WRONG);
        vm.chainId(31_337);
        others[4] = new Settlement(parties(address(channels), address(challenges)), clock(), STATE, POLICY)
            .digestOf(0, 0, 0, WRONG);
        (bytes32 r, bytes32 vs) = voteOf(keys[0], 0, 0, 0, RIGHT);
        for (uint256 i = 0; i < 5; ++i) {
            (bytes32 r2, bytes32 vs2) = compact(keys[0], others[i]);
            (bool done,) = address(challenges)
                .call(abi.encodeCall(challenges.slashEquivocation, (0, 0, 0, RIGHT, r, vs, WRONG, r2, vs2)));
            vm.assertFalse(done);
        }
        vm.assertEq(stake.heldOf(vm.addr(keys[0])), BOND);
    }

    function test_equivocation_strangerHasNothing() public {
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_NothingHeld.selector, address(0)));
        this.strange();
    }

    function strange() external {
        equivocates(0xbad, 0, 0, RIGHT, WRONG);
    }

    function test_C36_exitBeforeTheProof() public {
        vm.warp(GENESIS);
        vm.prank(owners[0]);
        stake.exit();
        (,, uint64 releaseAt) = stake.verifiers(owners[0]);
        vm.warp(releaseAt);
        equivocates(keys[0], 0, 0, RIGHT, WRONG);
        vm.prank(owners[0]);
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_NothingHeld.selector, owners[0]));
        stake.withdraw();
    }

    function test_C43_replacedSignerIsStillHeld() public {
        vm.prank(owners[0]);
        stake.rotateSigner(vm.addr(0xeee));
        equivocates(keys[0], 0, 0, RIGHT, WRONG);
        vm.assertEq(stake.heldOf(vm.addr(0xeee)), 0);
    }

    /// @dev A wrong result of all three, replaced in round 1.
    function outvoted() internal returns (Settlement.EpochRoot memory wrong) {
        wrong = stands(WRONG);
        doubts(DOUBTER);
        Settlement.EpochRoot memory right = draft(RIGHT, 1);
        proposes(right, 2);
        finalizes(right);
        challenges.settleBonds(0, 0);
    }

    function test_slashFaulty_takesTwoPercent() public {
        Settlement.EpochRoot memory wrong = outvoted();
        bytes32 result = settlement.resultOf(wrong);
        (bytes32[] memory rs, bytes32[] memory vss) = signed(settlement.digestOf(0, 0, 0, result), keysOf(3));
        uint256 supply = token.totalSupply();
        vm.expectEmit(address(challenges));
        emit Challenges.Punished(vm.addr(first(3)), challenges.keyOf(0, 0), result, BOND / 50);
        challenges.slashFaulty(0, 0, 0, result, rs, vss);
        uint256 all = 3 * uint256(BOND) / 50;
        vm.assertEq(token.balanceOf(DOUBTER), CHALLENGE_BOND + all / 20);
        vm.assertEq(supply - token.totalSupply(), all - all / 20);
        for (uint256 i = 0; i < 3; ++i) {
            vm.assertEq(stake.heldOf(vm.addr(keys[i])), BOND - BOND / 50);
        }
    }

    /// @dev The key whose address comes first.
    function first(uint256 n) internal view returns (uint256) {
        uint256[] memory by = keysOf(n);
        signed(0, by); // sorts
        return by[0];
    }

    function test_C37_onceAnAttemptAndOthersInTheBatch() public {
        Settlement.EpochRoot memory wrong = outvoted();
        bytes32 result = settlement.resultOf(wrong);
        (bytes32[] memory rs, bytes32[] memory vss) = votes(1, 0, 0, 0, wrong);
        challenges.slashFaulty(0, 0, 0, result, rs, vss);
        vm.expectRevert(abi.encodeWithSelector(Challenges.Challenges_NobodyPunished.selector, 0, 0));
        challenges.slashFaulty(0, 0, 0, result, rs, vss);
        // Who paid and who is a stranger are passed over.
        uint256[] memory by = new uint256[](4);
        (by[0], by[1], by[2], by[3]) = (keys[0], keys[1], keys[2], 0xbad);
        (rs, vss) = signed(settlement.digestOf(0, 0, 0, result), by);
        challenges.slashFaulty(0, 0, 0, result, rs, vss);
        for (uint256 i = 0; i < 3; ++i) {
            vm.assertEq(stake.heldOf(vm.addr(keys[i])), BOND - BOND / 50);
        }
        vm.expectRevert(abi.encodeWithSelector(Challenges.Challenges_SignatureCount.selector, 4, 3));
        challenges.slashFaulty(0, 0, 0, result, rs, new bytes32[](3));
    }

    function test_B35_sixtyFourPayInTwoTransactions() public {
        uint256[] memory by = new uint256[](64);
        for (uint256 i = 0; i < 64; ++i) {
            by[i] = i < 3 ? keys[i] : 0x5000 + i;
            if (i >= 3) joins(address(uint160(0x5000 + i)), by[i], BOND);
        }
        opens(0);
        Settlement.EpochRoot memory wrong = draft(WRONG, 1);
        for (uint256 round = 0; round < 2; ++round) {
            (bytes32[] memory all, bytes32[] memory sigs) = signed(digest(wrong), by);
            sealsPass();
            settlement.propose(wrong, all, sigs);
            if (round == 0) doubts(DOUBTER);
        }
        escalates(ESCALATOR);
        strikes(1);
        bytes32 result = settlement.resultOf(wrong);
        (bytes32[] memory rs, bytes32[] memory vss) = signed(settlement.digestOf(0, 0, 0, result), by);
        for (uint256 half = 0; half < 2; ++half) {
            (bytes32[] memory r, bytes32[] memory vs) = (new bytes32[](32), new bytes32[](32));
            for (uint256 i = 0; i < 32; ++i) {
                (r[i], vs[i]) = (rs[32 * half + i], vss[32 * half + i]);
            }
            challenges.slashFaulty{gas: 16_000_000}(0, 0, 0, result, r, vs);
        }
        for (uint256 i = 0; i < 64; ++i) {
            vm.assertEq(stake.heldOf(vm.addr(by[i])), BOND - BOND / 10_000);
        }
    }

    function test_C38_roundsUp() public {
        token.transfer(owners[0], 1);
        vm.startPrank(owners[0]);
        token.approve(address(stake), 1);
        stake.add(1);
        vm.stopPrank();
        Settlement.EpochRoot memory wrong = outvoted();
        (bytes32[] memory rs, bytes32[] memory vss) = votes(0, 0, 0, 0, wrong);
        challenges.slashFaulty(0, 0, 0, settlement.resultOf(wrong), rs, vss);
        vm.assertEq(stake.heldOf(vm.addr(keys[0])), BOND - BOND / 50);
    }

    function test_C42_laterFaultFirst() public {
        Settlement.EpochRoot[] memory wrong = new Settlement.EpochRoot[](2);
        for (uint32 a = 0; a < 2; ++a) {
            wrong[a] = stands(WRONG);
            doubts(DOUBTER);
            proposes(wrong[a], 3);
            escalates(ESCALATOR);
            strikes(1_000);
        }
        for (uint32 i = 0; i < 2; ++i) {
            uint32 a = 1 - i;
            (bytes32[] memory rs, bytes32[] memory vss) = votes(0, 0, a, 0, wrong[a]);
            challenges.slashFaulty(0, a, 0, settlement.resultOf(wrong[a]), rs, vss);
        }
        vm.assertEq(stake.heldOf(vm.addr(keys[0])), BOND * 81 / 100);
    }

    /// @dev Little gas must not turn a payment into a burning.
    function test_K90_gasCannotDivertABond() public {
        stands(WRONG);
        doubts(DOUBTER);
        rejects();
        uint256 supply = token.totalSupply();
        for (uint256 gas_ = 20_000; token.balanceOf(DOUBTER) == 0; gas_ += 1_000) {
            (bool done,) = address(challenges).call{gas: gas_}(abi.encodeCall(challenges.settleBonds, (0, 0)));
            vm.assertTrue(!done || token.balanceOf(DOUBTER) == CHALLENGE_BOND);
        }
        vm.assertEq(token.totalSupply(), supply);
    }

    function test_K90_gasCannotDivertAReward() public {
        Settlement.EpochRoot memory wrong = outvoted();
        (bytes32[] memory rs, bytes32[] memory vss) = votes(0, 0, 0, 0, wrong);
        bytes memory call = abi.encodeCall(challenges.slashFaulty, (0, 0, 0, settlement.resultOf(wrong), rs, vss));
        bool done = false;
        for (uint256 gas_ = 40_000; !done; gas_ += 1_000) {
            (done,) = address(challenges).call{gas: gas_}(call);
        }
        vm.assertEq(token.balanceOf(DOUBTER), CHALLENGE_BOND + uint256(BOND) / 1_000);
    }

    function test_digest_isTheSettlements() public {
        // What Challenges hashes by itself is what verifiers signed, also after a fork.
        vm.chainId(4_242);
        equivocates(keys[0], 0, 0, RIGHT, WRONG);
        vm.assertEq(stake.heldOf(vm.addr(keys[0])), 0);
    }
}
