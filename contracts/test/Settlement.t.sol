// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {Challenges} from "../src/Challenges.sol";
import {Minter} from "../src/Minter.sol";
import {Settlement} from "../src/Settlement.sol";
import {IWeights} from "../src/interfaces/IWeights.sol";
import {Disputes} from "./support/Disputes.sol";

contract SettlementTest is Disputes {
    uint256 internal constant N = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
    bytes32 internal constant ROOT = keccak256("root");
    address internal constant NEWCOMER = address(0x2001);
    uint256 internal constant NEW_KEY = 0xd44;

    function deploysWith(Settlement.Clock memory c) internal returns (Settlement) {
        return new Settlement(parties(address(channels), address(challenges)), c, STATE, POLICY);
    }

    function test_deploy_emitsFacts() public {
        address made = vm.computeCreateAddress(address(this), vm.getNonce(address(this)));
        vm.expectEmit(made);
        emit Settlement.Configured(clock());
        vm.expectEmit(made);
        emit Settlement.PolicySet(0, POLICY);
        Settlement fresh = deploysWith(clock());
        (bytes32 root, bytes32 state, uint128 rewards, uint128 fees, uint32 epoch) = fresh.finals();
        vm.assertEq(root, 0);
        vm.assertEq(state, STATE);
        vm.assertEq(rewards + fees + epoch, 0);
        vm.assertTrue(fresh.phase() == Settlement.Phase.IDLE);
    }

    function refusesClock(string memory name, Settlement.Clock memory c, uint256 secs, uint256 least, uint256 most) internal {
        vm.expectRevert(
            abi.encodeWithSelector(Settlement.Settlement_ClockOutOfBounds.selector, name, secs, least, most)
        );
        deploysWith(c);
    }

    function test_deploy_revertsOnClockBounds() public {
        Settlement.Clock memory c = clock();
        (c.epochSeconds, c.graceSeconds) = (1 hours - 1, 0);
        refusesClock("epochSeconds", c, 1 hours - 1, 1 hours, 30 days);
        c.epochSeconds = 30 days + 1;
        refusesClock("epochSeconds", c, 30 days + 1, 1 hours, 30 days);
        c = clock();
        c.challengeSeconds = 6 hours - 1;
        refusesClock("challengeSeconds", c, 6 hours - 1, 6 hours, 7 days);
        c.challengeSeconds = 7 days + 1;
        refusesClock("challengeSeconds", c, 7 days + 1, 6 hours, 7 days);
        c = clock();
        c.graceSeconds = EPOCH / 2 + 1;
        refusesClock("graceSeconds", c, EPOCH / 2 + 1, 0, EPOCH / 2);
        c = clock();
        c.attemptSeconds = 1 hours - 1;
        refusesClock("attemptSeconds", c, 1 hours - 1, 1 hours, EPOCH - CHALLENGE - 1);
        c.attemptSeconds = EPOCH - CHALLENGE;
        refusesClock("attemptSeconds", c, EPOCH - CHALLENGE, 1 hours, EPOCH - CHALLENGE - 1);
        c.attemptSeconds = EPOCH - CHALLENGE - 1;
        deploysWith(c);
        (c.epochSeconds, c.graceSeconds, c.attemptSeconds) = (6 hours, 0, 1 hours);
        refusesClock("attemptSeconds", c, 1 hours, 1 hours, 0);
        c = clock();
        c.sealSeconds = 10 minutes - 1;
        refusesClock("sealSeconds", c, 10 minutes - 1, 10 minutes, ATTEMPT / 2);
        c.sealSeconds = ATTEMPT / 2 + 1;
        refusesClock("sealSeconds", c, ATTEMPT / 2 + 1, 10 minutes, ATTEMPT / 2);
        c = clock();
        c.reconfirmSeconds = 6 hours - 1;
        refusesClock("reconfirmSeconds", c, 6 hours - 1, 6 hours, 7 days);
        c.reconfirmSeconds = 7 days + 1;
        refusesClock("reconfirmSeconds", c, 7 days + 1, 6 hours, 7 days);
        c = clock();
        c.governanceSeconds = 7 days - 1;
        refusesClock("governanceSeconds", c, 7 days - 1, 7 days, 30 days);
        c.governanceSeconds = 30 days + 1;
        refusesClock("governanceSeconds", c, 30 days + 1, 7 days, 30 days);
    }

    function test_C36_unbondingOutlivesEveryWindow() public {
        Settlement.Clock memory c = clock();
        uint256 others = EPOCH + ATTEMPT + 3 * CHALLENGE + RECONFIRM;
        c.governanceSeconds = uint32(UNBONDING - others);
        vm.expectRevert(
            abi.encodeWithSelector(Settlement.Settlement_AnswerableTooShort.selector, UNBONDING, UNBONDING)
        );
        deploysWith(c);
        c.governanceSeconds -= 1;
        deploysWith(c);
    }

    function sets(uint32 from, bytes32 hash) internal {
        vm.prank(AUTHORITY);
        settlement.setPolicy(from, hash);
    }

    function test_setPolicy_revertsIfNotAuthority() public {
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_NotAuthority.selector, address(this), AUTHORITY));
        settlement.setPolicy(5, "new");
    }

    function test_setPolicy_revertsIfTooLate() public {
        vm.warp(GENESIS + 3 * EPOCH);
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_PolicyTooLate.selector, 3, 4));
        sets(3, "new");
        sets(9, "new");
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_PolicyTooLate.selector, 8, 9));
        sets(8, "other");
        sets(9, "other");
        vm.assertEq(settlement.policyAt(9), "other");
    }

    function test_setPolicy_actsFromItsEpoch() public {
        vm.expectEmit(address(settlement));
        emit Settlement.PolicySet(4, "new");
        sets(4, "new");
        vm.assertEq(settlement.policyAt(3), POLICY);
        vm.assertEq(settlement.policyAt(4), "new");
        vm.assertEq(settlement.policyAt(type(uint32).max), "new");
        opens(5);
        Settlement.EpochRoot memory r = draft(ROOT, 1);
        vm.assertEq(r.policyHashes[3], POLICY);
        vm.assertEq(r.policyHashes[4], "new");
        proposes(r, 3);
    }

    function test_B31_policyInWindowChangesNothing() public {
        opens(0);
        Settlement.EpochRoot memory r = draft(ROOT, 1);
        proposes(r, 3);
        uint64 deadline = runsUntil();
        sets(2, "new");
        uint64 after_ = runsUntil();
        vm.assertEq(after_, deadline);
        finalizes(r);
        vm.assertEq(next(), 1);
    }

    function test_open_tells() public {
        vm.warp(readyAt(0));
        vm.expectEmit(address(settlement));
        emit Settlement.Opened(0, 0, 0, books(0, 0), 99, vm.addr(keys[0]));
        opens(0);
        vm.assertTrue(settlement.phase() == Settlement.Phase.OPEN);
        (uint32 first, uint32 last, uint32 attempt, uint32 weightEpoch, bytes32 hash) = settlement.opened();
        vm.assertEq(first + last + attempt, 0);
        vm.assertEq(weightEpoch, 1);
        vm.assertEq(hash, keccak256(abi.encodePacked(books(0, 0))));
    }

    function test_open_backlog() public {
        vm.warp(readyAt(40));
        opens(31);
        proposes(draft(ROOT, BURST), 2);
        (,,, uint32 weightEpoch,) = settlement.opened();
        vm.assertEq(weightEpoch, 41);
    }

    function opensAs(address who, uint32 first, uint32 last, uint32 attempt, bytes32[] memory hashes) internal {
        uint64 snapshot = uint64(block.number - 1);
        vm.prank(who);
        settlement.open(first, last, attempt, hashes, snapshot);
    }

    function test_B24_openOutOfOrderReverts() public {
        vm.warp(readyAt(5));
        address turn = lead();
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_NotNext.selector, 1, 0));
        opensAs(turn, 1, 1, 0, books(1, 1));
        settles(1, ROOT, 1);
        turn = lead();
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_NotNext.selector, 1, 2));
        opensAs(turn, 1, 2, 0, books(1, 2));
    }

    function test_B24_openOfRunningEpochReverts() public {
        vm.warp(readyAt(0) - 1);
        address turn = vm.addr(keys[0]);
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_NotOver.selector, 0, readyAt(0)));
        opensAs(turn, 0, 0, 0, books(0, 0));
        vm.warp(readyAt(0));
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_NotOver.selector, 1, readyAt(1)));
        opensAs(turn, 0, 1, 0, books(0, 1));
        opensAs(turn, 0, 0, 0, books(0, 0));
    }

    function test_open_revertsOnBadRange() public {
        settles(0, ROOT, 1);
        vm.warp(readyAt(100));
        address turn = lead();
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_BadRange.selector, 1, 0, 1));
        opensAs(turn, 1, 0, 0, books(1, 1));
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_BadRange.selector, 1, 33, 33));
        opensAs(turn, 1, 33, 0, books(1, 33));
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_BadRange.selector, 1, 2, 1));
        opensAs(turn, 1, 2, 0, books(1, 1));
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_BadRange.selector, 1, type(uint32).max, 0));
        opensAs(turn, 1, type(uint32).max, 0, new bytes32[](0));
    }

    function test_open_revertsOnOtherAttempt() public {
        vm.warp(readyAt(0) + 3 * ATTEMPT);
        address turn = lead();
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_NotAttempt.selector, 2, 3));
        opensAs(turn, 0, 0, 2, books(0, 0));
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_NotAttempt.selector, 4, 3));
        opensAs(turn, 0, 0, 4, books(0, 0));
    }

    function test_open_revertsIfOpened() public {
        opens(0);
        address turn = lead();
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_AlreadyOpened.selector, 0));
        opensAs(turn, 0, 0, 0, books(0, 0));
    }

    function test_open_revertsIfNotLead() public {
        vm.warp(readyAt(0));
        address other = vm.addr(keys[1]);
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_NotLead.selector, other, vm.addr(keys[0])));
        opensAs(other, 0, 0, 0, books(0, 0));
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_NotLead.selector, owners[0], vm.addr(keys[0])));
        opensAs(owners[0], 0, 0, 0, books(0, 0));
    }

    function test_open_takeover() public {
        opens(0);
        Settlement.EpochRoot memory old = draft(ROOT, 1);
        (bytes32[] memory rs, bytes32[] memory vss) = signed(digest(old), keysOf(3));
        vm.warp(readyAt(0) + ATTEMPT);
        vm.assertEq(lead(), vm.addr(keys[1]));
        opens(0);
        sealsPass();
        (bool done,) = address(settlement).call(abi.encodeCall(settlement.propose, (old, rs, vss)));
        vm.assertFalse(done);
        Settlement.EpochRoot memory r = draft(ROOT, 1);
        (,, uint32 attempt,,) = settlement.opened();
        vm.assertEq(attempt, 1);
        proposes(r, 2);
        finalizes(r);
    }

    function test_open_revertsIfSnapshotNotPast() public {
        vm.warp(readyAt(0));
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_SnapshotNotPast.selector, 100, 100));
        vm.prank(vm.addr(keys[0]));
        settlement.open(0, 0, 0, books(0, 0), 100);
    }

    function test_B24_openWhilePendingReverts() public {
        opens(0);
        proposes(draft(ROOT, 1), 3);
        vm.warp(readyAt(0) + ATTEMPT);
        address turn = lead();
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_WrongPhase.selector, Settlement.Phase.PENDING));
        opensAs(turn, 0, 0, 1, books(0, 0));
    }

    function test_propose_tells() public {
        opens(0);
        Settlement.EpochRoot memory r = draft(ROOT, 1);
        uint256[] memory by = keysOf(3);
        bytes32 result = settlement.resultOf(r);
        (bytes32[] memory rs, bytes32[] memory vss) = signed(digest(r), by);
        sealsPass();
        address[] memory signers = new address[](3);
        for (uint256 i = 0; i < 3; ++i) {
            signers[i] = vm.addr(by[i]);
        }
        uint64 deadline = uint64(block.timestamp + CHALLENGE);
        vm.expectEmit(address(settlement));
        emit Settlement.Proposed(0, 0, 0, 0, result, ROOT, r.stateRoot, deadline, signers);
        settlement.propose(r, rs, vss);
        (uint32 attempt, uint32 round, uint64 frozen, bytes32 stored,) = settlement.pending();
        vm.assertEq(attempt + round, 0);
        vm.assertEq(frozen, deadline);
        vm.assertEq(stored, result);
    }

    function test_B25_anyQuorumSubsetIsTheSame() public {
        opens(0);
        Settlement.EpochRoot memory r = draft(ROOT, 1);
        uint256[] memory by = new uint256[](2);
        (by[0], by[1]) = (keys[2], keys[0]);
        (bytes32[] memory rs, bytes32[] memory vss) = signed(digest(r), by);
        sealsPass();
        vm.prank(address(0xBEEF));
        settlement.propose(r, rs, vss);
        finalizes(r);
        (bytes32 root,,,,) = settlement.finals();
        vm.assertEq(root, ROOT);
    }

    /// @dev Expects `r`, signed by all verifiers, to be refused.
    function refuses(Settlement.EpochRoot memory r, bytes memory why) internal {
        sealsPass();
        (bytes32[] memory rs, bytes32[] memory vss) = signed(digest(r), keysOf(3));
        vm.expectRevert(why);
        settlement.propose(r, rs, vss);
    }

    function test_propose_revertsIfNotOpen() public {
        Settlement.EpochRoot memory r = draft(ROOT, 1);
        refuses(r, abi.encodeWithSelector(Settlement.Settlement_WrongPhase.selector, Settlement.Phase.IDLE));
    }

    function test_B24_proposeTwiceReverts() public {
        opens(0);
        Settlement.EpochRoot memory r = draft(ROOT, 1);
        proposes(r, 3);
        refuses(r, abi.encodeWithSelector(Settlement.Settlement_WrongPhase.selector, Settlement.Phase.PENDING));
        finalizes(r);
        refuses(r, abi.encodeWithSelector(Settlement.Settlement_WrongPhase.selector, Settlement.Phase.IDLE));
    }

    function test_B21_otherRangeAttemptRoundRevert() public {
        vm.warp(readyAt(2));
        opens(1);
        Settlement.EpochRoot memory r = draft(ROOT, 1);
        bytes4 why = Settlement.Settlement_NotOpened.selector;
        r.first = 1;
        refuses(r, abi.encodeWithSelector(why, 1, 1));
        (r.first, r.last) = (0, 0);
        refuses(r, abi.encodeWithSelector(why, 0, 0));
        r.last = 1;
        (uint32 attempt,,,,) = settlement.pending();
        bytes32 result = settlement.resultOf(r);
        bytes32[3] memory others = [
            settlement.digestOf(1, attempt, 0, result),
            settlement.digestOf(0, attempt + 1, 0, result),
            settlement.digestOf(0, attempt, 1, result)
        ];
        for (uint256 i = 0; i < 3; ++i) {
            (bytes32[] memory rs, bytes32[] memory vss) = signed(others[i], keysOf(3));
            (bool done,) = address(settlement).call(abi.encodeCall(settlement.propose, (r, rs, vss)));
            vm.assertFalse(done);
        }
        proposes(r, 3);
    }

    function test_propose_revertsBeforeSeals() public {
        opens(0);
        Settlement.EpochRoot memory r = draft(ROOT, 1);
        uint64 sealed_ = runsUntil();
        vm.assertEq(sealed_, readyAt(0) + SEAL);
        (bytes32[] memory rs, bytes32[] memory vss) = signed(digest(r), keysOf(3));
        vm.warp(sealed_ - 1);
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_NotSealed.selector, sealed_ - 1, sealed_));
        settlement.propose(r, rs, vss);
        vm.warp(sealed_);
        settlement.propose(r, rs, vss);
    }

    function test_propose_revertsAfterAttempt() public {
        opens(0);
        Settlement.EpochRoot memory r = draft(ROOT, 1);
        vm.warp(readyAt(0) + ATTEMPT);
        refuses(r, abi.encodeWithSelector(Settlement.Settlement_NotAttempt.selector, 0, 1));
        vm.warp(readyAt(0) + ATTEMPT - 1);
        proposes(r, 3);
    }

    function test_propose_revertsOnOtherBooks() public {
        opens(0);
        Settlement.EpochRoot memory r = draft(ROOT, 1);
        bytes32 opened = keccak256(abi.encodePacked(r.bookHashes));
        bytes4 why = Settlement.Settlement_OtherBooks.selector;
        r.bookHashes[0] = "other";
        refuses(r, abi.encodeWithSelector(why, keccak256(abi.encodePacked(r.bookHashes)), opened));
        r.bookHashes = books(0, 1);
        refuses(r, abi.encodeWithSelector(why, keccak256(abi.encodePacked(r.bookHashes)), opened));
    }

    function test_propose_revertsIfNotFromFinal() public {
        settles(0, ROOT, 1);
        opens(1);
        Settlement.EpochRoot memory r = draft(ROOT, 1);
        r.prevRoot = 0;
        refuses(r, abi.encodeWithSelector(Settlement.Settlement_NotFromFinal.selector, 0, r.prevStateRoot));
        (r.prevRoot, r.prevStateRoot) = (ROOT, STATE);
        refuses(r, abi.encodeWithSelector(Settlement.Settlement_NotFromFinal.selector, ROOT, STATE));
    }

    function test_B21_otherPolicyReverts() public {
        vm.warp(readyAt(1));
        opens(1);
        Settlement.EpochRoot memory r = draft(ROOT, 1);
        r.policyHashes[1] = "other";
        refuses(r, abi.encodeWithSelector(Settlement.Settlement_OtherPolicy.selector, 1, bytes32("other")));
        r.policyHashes = new bytes32[](1);
        r.policyHashes[0] = POLICY;
        refuses(r, abi.encodeWithSelector(Settlement.Settlement_OtherPolicy.selector, 0, 0));
    }

    function test_B23_rewardsFallReverts() public {
        settles(0, ROOT, 50);
        opens(1);
        Settlement.EpochRoot memory r = draft(ROOT, 0);
        r.rewards = 49;
        refuses(r, abi.encodeWithSelector(Settlement.Settlement_RewardsFall.selector, 49, 50));
    }

    function test_B23_growthAboveBudgetReverts() public {
        opens(0);
        Settlement.EpochRoot memory r = draft(ROOT, BUDGET + 1);
        refuses(r, abi.encodeWithSelector(Settlement.Settlement_AboveBudget.selector, BUDGET + 1, BUDGET));
    }

    function test_B23_growthOfTheWholeBudget() public {
        vm.warp(readyAt(1));
        settles(1, ROOT, 2 * BUDGET);
        vm.assertEq(token.balanceOf(address(settlement)), 2 * BUDGET);
    }

    function test_B23_hugeRewardsRevert() public {
        opens(0);
        Settlement.EpochRoot memory r = draft(ROOT, 0);
        r.rewards = type(uint128).max;
        refuses(r, abi.encodeWithSelector(Settlement.Settlement_AboveBudget.selector, type(uint128).max, BUDGET));
    }

    function test_fees_growUpToWhatWasRedeemed() public {
        earns(100);
        opens(0);
        Settlement.EpochRoot memory r = draft(ROOT, 1);
        r.fees = 101;
        refuses(r, abi.encodeWithSelector(Settlement.Settlement_FeesExceedRedeemed.selector, 101, 100));
        r.fees = type(uint128).max;
        refuses(r, abi.encodeWithSelector(Settlement.Settlement_FeesExceedRedeemed.selector, r.fees, 100));
        r.fees = 100;
        proposes(r, 3);
        finalizes(r);
        (,,, uint128 fees,) = settlement.finals();
        vm.assertEq(fees, 100);
        vm.assertEq(coin.balanceOf(address(settlement)), 100);
    }

    /// @dev What nobody earned yet of what was redeemed waits.
    function test_fees_growLess() public {
        earns(100);
        feesGrowth = 40;
        settles(0, ROOT, 1);
        feesGrowth = 60;
        settles(1, ROOT, 1);
        (,,, uint128 fees,) = settlement.finals();
        vm.assertEq(fees, 100);
    }

    function test_fees_neverFall() public {
        earns(100);
        settles(0, ROOT, 1);
        opens(1);
        Settlement.EpochRoot memory r = draft(ROOT, 1);
        r.fees = 99;
        refuses(r, abi.encodeWithSelector(Settlement.Settlement_FeesFall.selector, 99, 100));
        r.fees = 100;
        proposes(r, 3);
    }

    function test_fees_cannotGrowWithoutRevenue() public {
        earns(100);
        settlement = new Settlement(parties(address(0), address(challenges)), clock(), STATE, POLICY);
        opens(0);
        Settlement.EpochRoot memory r = draft(ROOT, 0);
        refuses(r, abi.encodeWithSelector(Settlement.Settlement_FeesExceedRedeemed.selector, 100, 0));
        r.fees = 0;
        proposes(r, 3);
    }

    function drafted() internal returns (Settlement.EpochRoot memory r, bytes32[] memory rs, bytes32[] memory vss) {
        opens(0);
        r = draft(ROOT, 1);
        (rs, vss) = signed(digest(r), keysOf(3));
        sealsPass();
    }

    function test_B19_duplicateAndUnsortedRevert() public {
        (Settlement.EpochRoot memory r, bytes32[] memory rs, bytes32[] memory vss) = drafted();
        uint256[] memory by = keysOf(3);
        signed(0, by); // sorts
        (bytes32 r1, bytes32 v1) = (rs[1], vss[1]);
        (rs[1], vss[1]) = (rs[0], vss[0]);
        bytes4 why = Settlement.Settlement_SignersNotAscending.selector;
        vm.expectRevert(abi.encodeWithSelector(why, vm.addr(by[0]), vm.addr(by[0])));
        settlement.propose(r, rs, vss);
        (rs[0], vss[0]) = (r1, v1);
        vm.expectRevert(abi.encodeWithSelector(why, vm.addr(by[1]), vm.addr(by[0])));
        settlement.propose(r, rs, vss);
    }

    function test_B19_malleatedTwinReverts() public {
        (Settlement.EpochRoot memory r, bytes32[] memory rs, bytes32[] memory vss) = drafted();
        uint256 s = N - (uint256(vss[0]) & (type(uint256).max >> 1));
        // A high s does not fit beside the parity bit of the compact form: what is left of it recovers to somebody else.
        vss[0] = bytes32(s ^ (uint256(vss[0]) & (1 << 255)) ^ (1 << 255));
        (bool done,) = address(settlement).call(abi.encodeCall(settlement.propose, (r, rs, vss)));
        vm.assertFalse(done);
        vss[0] = bytes32(N / 2 + 1);
        vm.expectRevert(abi.encodeWithSelector(ECDSA.ECDSAInvalidSignatureS.selector, vss[0]));
        settlement.propose(r, rs, vss);
    }

    function test_B19_zeroRecoverReverts() public {
        (Settlement.EpochRoot memory r, bytes32[] memory rs, bytes32[] memory vss) = drafted();
        rs[0] = 0;
        vm.expectRevert(ECDSA.ECDSAInvalidSignature.selector);
        settlement.propose(r, rs, vss);
    }

    function test_B19_lengthsDifferReverts() public {
        (Settlement.EpochRoot memory r, bytes32[] memory rs,) = drafted();
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_SignatureCount.selector, 3, 2));
        settlement.propose(r, rs, new bytes32[](2));
    }

    function test_B21_otherChainOrContractReverts() public {
        (Settlement.EpochRoot memory r,,) = drafted();
        Settlement twin = deploysWith(clock());
        bytes32 result = settlement.resultOf(r);
        vm.assertEq(twin.resultOf(r), result);
        bytes32 theirs = twin.digestOf(0, 0, 0, result);
        bytes32 here = settlement.digestOf(0, 0, 0, result);
        vm.assertEq(here, digest(r));
        vm.chainId(4_242);
        bytes32 forked = settlement.digestOf(0, 0, 0, result);
        vm.chainId(31_337);
        vm.assertTrue(theirs != here && forked != here && theirs != forked);
        (bytes32[] memory rs, bytes32[] memory vss) = signed(theirs, keysOf(3));
        (bool done,) = address(settlement).call(abi.encodeCall(settlement.propose, (r, rs, vss)));
        vm.assertFalse(done);
        (rs, vss) = signed(forked, keysOf(3));
        (done,) = address(settlement).call(abi.encodeCall(settlement.propose, (r, rs, vss)));
        vm.assertFalse(done);
    }

    function refusesNoWeight(uint256 key, uint32 weightEpoch) internal {
        Settlement.EpochRoot memory r = draft(ROOT, 1);
        uint256[] memory by = new uint256[](4);
        (by[0], by[1], by[2], by[3]) = (keys[0], keys[1], keys[2], key);
        (bytes32[] memory rs, bytes32[] memory vss) = signed(digest(r), by);
        sealsPass();
        vm.expectRevert(abi.encodeWithSelector(IWeights.Weights_Weightless.selector, vm.addr(key), weightEpoch));
        settlement.propose(r, rs, vss);
    }

    function test_B20_strangerReverts() public {
        opens(0);
        refusesNoWeight(NEW_KEY, 1);
    }

    function test_B20_joinedSinceDoesNotCount() public {
        vm.warp(readyAt(0));
        joins(NEWCOMER, NEW_KEY, 100_000e18);
        opens(0);
        refusesNoWeight(NEW_KEY, 1);
        proposes(draft(ROOT, 1), 2);
    }

    function test_B20_exitedInMidWindowCounts() public {
        opens(0);
        vm.prank(owners[0]);
        stake.exit();
        Settlement.EpochRoot memory r = draft(ROOT, 1);
        proposes(r, 2);
        finalizes(r);
        opens(1);
        uint256[] memory by = new uint256[](1);
        by[0] = keys[0];
        r = draft(ROOT, 1);
        (bytes32[] memory rs, bytes32[] memory vss) = signed(digest(r), by);
        sealsPass();
        vm.expectRevert(abi.encodeWithSelector(IWeights.Weights_Weightless.selector, vm.addr(keys[0]), 2));
        settlement.propose(r, rs, vss);
    }

    function test_B22_twoThirdsBoundary() public {
        opens(0);
        Settlement.EpochRoot memory r = draft(ROOT, 1);
        proposes(r, 2); // exactly two thirds
        finalizes(r);
        addsTo(owners[2], 1);
        opens(1);
        r = draft(ROOT, 1);
        (bytes32[] memory rs, bytes32[] memory vss) = signed(digest(r), keysOf(2));
        sealsPass();
        vm.expectRevert(
            abi.encodeWithSelector(Settlement.Settlement_NoQuorum.selector, 2 * BOND, 3 * uint256(BOND) + 1)
        );
        settlement.propose(r, rs, vss);
    }

    function addsTo(address owner, uint256 amount) internal {
        token.transfer(owner, amount);
        vm.startPrank(owner);
        token.approve(address(stake), amount);
        stake.add(amount);
        vm.stopPrank();
    }

    function test_B22_noWeightNoQuorum() public {
        opens(0);
        Settlement.EpochRoot memory r = draft(ROOT, 1);
        sealsPass();
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_NoQuorum.selector, 0, 3 * BOND));
        settlement.propose(r, new bytes32[](0), new bytes32[](0));
    }

    function test_B35_sixtyFourVerifiers() public {
        uint256[] memory by = new uint256[](64);
        for (uint256 i = 0; i < 64; ++i) {
            by[i] = i < 3 ? keys[i] : 0x5000 + i;
            if (i >= 3) joins(address(uint160(0x5000 + i)), by[i], BOND);
        }
        opens(0);
        Settlement.EpochRoot memory r = draft(ROOT, 1);
        (bytes32[] memory rs, bytes32[] memory vss) = signed(digest(r), by);
        sealsPass();
        uint256 before = gasleft();
        settlement.propose(r, rs, vss);
        vm.assertLe(before - gasleft(), 2_000_000);
    }

    function test_B32_livingRegainQuorum() public {
        vm.warp(GENESIS + 10 days);
        vm.prank(vm.addr(keys[0]));
        stake.heartbeat();
        vm.warp(GENESIS + 14 days + 1);
        opens(12);
        Settlement.EpochRoot memory r = draft(ROOT, BURST);
        (bytes32[] memory rs, bytes32[] memory vss) = signed(digest(r), keysOf(1));
        sealsPass();
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_NoQuorum.selector, BOND, 3 * BOND));
        settlement.propose(r, rs, vss);
        stake.prune(owners[1]);
        stake.prune(owners[2]);
        vm.warp(GENESIS + 15 days);
        opens(12);
        r = draft(ROOT, BURST);
        proposes(r, 1);
        finalizes(r);
        vm.assertEq(next(), 13);
    }

    function test_finalize_tells() public {
        opens(0);
        Settlement.EpochRoot memory r = draft(ROOT, 77);
        proposes(r, 3);
        uint64 deadline = runsUntil();
        vm.warp(deadline);
        vm.expectEmit(address(settlement));
        emit Settlement.Finalized(
            0, 0, 0, ROOT, r.stateRoot, r.assetRoot, r.verdictsHash, 77, 0, r.bookHashes, r.policyHashes
        );
        vm.expectEmit(address(minter));
        emit Minter.Minted(0, 0, 77);
        settlement.finalize(r);
        (bytes32 root, bytes32 state, uint128 rewards, uint128 fees, uint32 epoch) = settlement.finals();
        vm.assertEq(root, ROOT);
        vm.assertEq(state, r.stateRoot);
        vm.assertEq(rewards, 77);
        vm.assertEq(fees, 0);
        vm.assertEq(epoch, 1);
        vm.assertEq(settlement.assetRoot(), r.assetRoot);
        vm.assertEq(token.balanceOf(address(settlement)), 77);
        vm.assertTrue(settlement.phase() == Settlement.Phase.IDLE);
    }

    function test_finalize_withoutGrowth() public {
        settles(0, 0, 0);
        vm.assertEq(token.balanceOf(address(settlement)), 0);
        vm.assertEq(minter.nextEpoch(), 0);
        vm.assertEq(next(), 1);
        settles(1, ROOT, 5);
        vm.assertEq(minter.nextEpoch(), 2);
    }

    function test_B26_finalizeAtBoundary() public {
        opens(0);
        Settlement.EpochRoot memory r = draft(ROOT, 1);
        proposes(r, 3);
        uint64 deadline = runsUntil();
        vm.warp(deadline - 1);
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_InWindow.selector, deadline - 1, deadline));
        settlement.finalize(r);
        vm.warp(deadline);
        settlement.finalize(r);
    }

    function test_B30_finalizeTwiceReverts() public {
        opens(0);
        Settlement.EpochRoot memory r = draft(ROOT, 1);
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_WrongPhase.selector, Settlement.Phase.OPEN));
        settlement.finalize(r);
        proposes(r, 3);
        finalizes(r);
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_WrongPhase.selector, Settlement.Phase.IDLE));
        settlement.finalize(r);
    }

    function test_B30_finalizeOtherReverts() public {
        opens(0);
        Settlement.EpochRoot memory r = draft(ROOT, 1);
        proposes(r, 3);
        (,, uint64 deadline, bytes32 result,) = settlement.pending();
        vm.warp(deadline);
        r.rewards = 2;
        bytes32 other = settlement.resultOf(r);
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_NotPending.selector, other, result));
        settlement.finalize(r);
    }

    function test_D46_finalizeWaitsForBreaker() public {
        vm.warp(readyAt(5));
        settles(2, ROOT, BURST);
        opens(5);
        Settlement.EpochRoot memory r = draft(ROOT, BURST);
        proposes(r, 3);
        uint64 deadline = runsUntil();
        vm.warp(deadline);
        uint256 room = minter.room();
        vm.expectRevert(abi.encodeWithSelector(Minter.Minter_BreakerOpen.selector, BURST, room));
        settlement.finalize(r);
        vm.warp(deadline + 3 days);
        settlement.finalize(r);
        vm.assertEq(token.balanceOf(address(settlement)), 2 * BURST);
    }

    function test_finalize_restartsAttempts() public {
        vm.warp(readyAt(1) + 5 * ATTEMPT);
        settles(0, ROOT, 1);
        vm.assertEq(settlement.currentAttempt(), 0);
        vm.assertEq(lead(), vm.addr(keys[1]));
        vm.warp(block.timestamp + ATTEMPT);
        vm.assertEq(settlement.currentAttempt(), 1);
        settles(1, ROOT, 1);
        vm.assertEq(settlement.currentAttempt(), 0);
    }

    function test_contest_onlyChallenges() public {
        opens(0);
        proposes(draft(ROOT, 1), 3);
        bytes[4] memory calls = [
            abi.encodeCall(settlement.contest, (0, 0)),
            abi.encodeCall(settlement.extend, (0, 0)),
            abi.encodeCall(settlement.escalate, (0, 0)),
            abi.encodeCall(settlement.strike, (0, 0))
        ];
        bytes4 why = Settlement.Settlement_NotChallenges.selector;
        for (uint256 i = 0; i < 4; ++i) {
            (bool done, bytes memory said) = address(settlement).call(calls[i]);
            vm.assertFalse(done);
            vm.assertEq(
                keccak256(said), keccak256(abi.encodeWithSelector(why, address(this), address(challenges)))
            );
        }
        vm.assertTrue(settlement.phase() == Settlement.Phase.PENDING);
    }

    /// @dev A fee of 100 is final in epoch 0 and one of 50 is not; epoch 1 is challenged, confirmed, escalated.
    function disputedLate() internal returns (Settlement.EpochRoot memory r) {
        earns(100);
        settles(0, ROOT, 70);
        earns(50);
        feesGrowth = 0;
        r = stands(RIGHT, 5);
        confirms(r);
        escalates(ESCALATOR);
    }

    /// @dev Another Settlement beside the one that is served.
    function successorOf(Settlement before) internal returns (Settlement made, Challenges judges) {
        address judgesAt = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 1);
        Settlement.Parties memory p = parties(address(channels), judgesAt);
        p.predecessor = before;
        made = new Settlement(p, clock(), "unused", "unused");
        judges = new Challenges(Challenges.Config(made, token, stake, AUTHORITY, GUARDIAN, CHALLENGE_BOND, DATA_FEE));
    }

    /// @dev Lets the budget and the revenue serve `made`, after the announcement's wait.
    function serves(Settlement made) internal {
        vm.startPrank(AUTHORITY);
        minter.announce(address(made));
        channels.announce(address(made));
        vm.stopPrank();
        vm.warp(block.timestamp + REPLACE);
        minter.replace();
        channels.replace();
    }

    function test_D51_successorTakesOver() public {
        Settlement.EpochRoot memory r = disputedLate();
        Settlement old = settlement;
        (Settlement made, Challenges judges) = successorOf(old);
        serves(made);
        // What waits on the old one is void, though its windows are over.
        vm.expectRevert(abi.encodeWithSelector(Minter.Minter_NotSettlement.selector, address(old), address(made)));
        old.finalize(r);
        vm.expectEmit(address(made));
        emit Settlement.Begun(1, keccak256(abi.encode("state", uint32(0))));
        vm.expectEmit(address(made));
        emit Settlement.Inherited(50);
        vm.prank(address(0xBEEF));
        made.begin();
        vm.assertEq(coin.balanceOf(address(made)), 50);
        vm.assertEq(coin.balanceOf(address(old)), 100);
        (bytes32 root, bytes32 state, uint128 rewards, uint128 fees, uint32 first) = made.finals();
        vm.assertEq(root, 0);
        vm.assertEq(state, keccak256(abi.encode("state", uint32(0))));
        vm.assertEq(rewards + fees, 0);
        vm.assertEq(first, 1);
        vm.assertEq(made.policyAt(1), POLICY);
        // The dispute there is over, and its bonds go back.
        vm.assertTrue(old.phase() == Settlement.Phase.REJECTED);
        challenges.settleBonds(1, 0);
        vm.assertEq(token.balanceOf(DOUBTER), CHALLENGE_BOND);
        vm.assertEq(token.balanceOf(ESCALATOR), 4 * uint256(CHALLENGE_BOND));
        // The new one settles the range, from zero, with what was inherited.
        (settlement, challenges) = (made, judges);
        opens(20);
        r = draft(RIGHT, 9);
        r.fees = 51;
        refuses(r, abi.encodeWithSelector(Settlement.Settlement_FeesExceedRedeemed.selector, 51, 50));
        r.fees = 50;
        proposes(r, 3);
        finalizes(r);
        vm.assertEq(token.balanceOf(address(made)), 9);
        vm.assertEq(token.balanceOf(address(old)), 70);
        vm.assertEq(next(), 21);
    }

    function test_begin_latecomersMoneyFollows() public {
        (Settlement made,) = successorOf(settlement);
        vm.prank(AUTHORITY);
        minter.announce(address(made));
        vm.warp(block.timestamp + REPLACE);
        minter.replace();
        made.begin();
        vm.assertEq(made.inherited(), 0);
        earns(30); // channels still serve the old one
        made.collect();
        made.collect();
        vm.assertEq(made.inherited(), 30);
        vm.assertEq(settlement.handedOver(), 30);
        vm.assertEq(coin.balanceOf(address(made)), 30);
    }

    function test_begin_onceAndOnlyIfServed() public {
        (Settlement made,) = successorOf(settlement);
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_NotServed.selector, address(settlement)));
        made.begin();
        vm.warp(readyAt(3));
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_NotNext.selector, 0, type(uint32).max));
        made.open(0, 0, 0, books(0, 0), 1);
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_NotServed.selector, address(settlement)));
        vm.prank(AUTHORITY);
        made.setPolicy(99, "new");
        serves(made);
        made.begin();
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_Begun.selector, 0));
        made.begin();
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_Begun.selector, 0));
        settlement.begin();
    }

    function test_begin_notAfterOneThatNeverBegan() public {
        (Settlement made,) = successorOf(settlement);
        (Settlement later,) = successorOf(made);
        serves(later);
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_OtherPredecessor.selector, address(made)));
        later.begin();
    }

    function test_handOver_onlyToTheHeir() public {
        earns(10);
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_NotServed.selector, address(settlement)));
        settlement.handOver();
        vm.prank(address(settlement));
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_NotServed.selector, address(settlement)));
        settlement.handOver();
        (Settlement made,) = successorOf(settlement);
        serves(made);
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_NotServed.selector, address(made)));
        settlement.handOver();
    }

    /// @dev If the budget comes back, what waited is void, and what was handed over cannot be claimed twice.
    function test_D51_budgetThatComesBack() public {
        earns(40);
        Settlement.EpochRoot memory r = stands(RIGHT, 5);
        vm.assertEq(r.fees, 40);
        (Settlement made,) = successorOf(settlement);
        serves(made);
        made.begin();
        serves(settlement);
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_WrongPhase.selector, Settlement.Phase.REJECTED));
        settlement.finalize(r);
        opens(0);
        r = draft(RIGHT, 5);
        refuses(r, abi.encodeWithSelector(Settlement.Settlement_FeesExceedRedeemed.selector, 40, 0));
    }

    function test_reject_onceNotServed() public {
        Settlement.EpochRoot memory r = stands(RIGHT, 5);
        vm.warp(runsUntil());
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_WrongPhase.selector, Settlement.Phase.PENDING));
        settlement.reject();
        (Settlement made,) = successorOf(settlement);
        serves(made);
        settlement.reject();
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_WrongPhase.selector, Settlement.Phase.REJECTED));
        settlement.reject();
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_WrongPhase.selector, Settlement.Phase.REJECTED));
        settlement.finalize(r);
    }

    function refusesPredecessor(Settlement.Parties memory p, Settlement.Clock memory c) internal {
        vm.expectRevert(
            abi.encodeWithSelector(Settlement.Settlement_OtherPredecessor.selector, address(settlement))
        );
        new Settlement(p, c, 0, 0);
    }

    function test_deploy_revertsOnOtherPredecessor() public {
        Settlement.Parties memory p = parties(address(channels), address(challenges));
        p.predecessor = settlement;
        Settlement.Clock memory c = clock();
        c.genesis += 1;
        refusesPredecessor(p, c);
        c = clock();
        c.epochSeconds *= 2;
        refusesPredecessor(p, c);
        c = clock();
        p.payment = token;
        refusesPredecessor(p, c);
        (p.payment, p.token) = (payment(), coin);
        refusesPredecessor(p, c);
    }
}
