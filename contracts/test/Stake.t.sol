// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Stake} from "../src/Stake.sol";
import {Succession} from "../src/Succession.sol";
import {IWeights} from "../src/interfaces/IWeights.sol";
import {Coin} from "./support/Coin.sol";
import {Network} from "./support/Network.sol";

contract StakeTest is Network {
    address internal constant NEWCOMER = address(0x2001);
    uint256 internal constant NEW_KEY = 0xd44;

    function weight(uint256 key, uint32 epoch) internal view returns (uint256) {
        return stake.weightOf(vm.addr(key), epoch);
    }

    /// @dev Into the middle of `epoch`.
    function inEpoch(uint256 epoch) internal {
        vm.warp(GENESIS + epoch * EPOCH + EPOCH / 2);
    }

    function exits(address owner) internal returns (uint64 releaseAt) {
        vm.prank(owner);
        stake.exit();
        (,, releaseAt) = stake.verifiers(owner);
    }

    function staked(uint32 epochSeconds, uint128 bond, uint64 unbonding, uint64 replaceSeconds) internal {
        new Stake(
            token, GENESIS, epochSeconds, bond, unbonding, address(this), address(1), AUTHORITY, replaceSeconds
        );
    }

    function test_deploy_revertsIfUnbondingTooShort() public {
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_UnbondingTooShort.selector, 14 days - 1, 14 days));
        staked(EPOCH, BOND, 14 days - 1, REPLACE);
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_UnbondingTooShort.selector, 29 days, 30 days));
        staked(30 days, BOND, 29 days, REPLACE);
        vm.expectRevert(abi.encodeWithSelector(Succession.Succession_TooShort.selector, 30 days, 30 days + 1));
        staked(EPOCH, BOND, 30 days, 30 days);
    }

    function test_deploy_revertsIfEmpty() public {
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_BondTooSmall.selector, 0, 1));
        staked(EPOCH, 0, 14 days, REPLACE);
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_EpochTooShort.selector, 0));
        staked(0, BOND, 14 days, REPLACE);
    }

    function test_join_beforeGenesisWeighsFromEpochZero() public view {
        vm.assertEq(weight(keys[0], 0), BOND);
        vm.assertEq(weight(keys[0], type(uint32).max), BOND);
        vm.assertEq(stake.totalWeight(0), 3 * BOND);
        vm.assertEq(token.balanceOf(address(stake)), 3 * BOND);
        vm.assertEq(stake.ownerOfSigner(vm.addr(keys[0])), owners[0]);
    }

    function test_join_weighsFromNextEpoch() public {
        inEpoch(5);
        joins(NEWCOMER, NEW_KEY, BOND);
        vm.assertEq(weight(NEW_KEY, 5), 0);
        vm.assertEq(weight(NEW_KEY, 6), BOND);
        vm.assertEq(stake.totalWeight(5), 3 * BOND);
        vm.assertEq(stake.totalWeight(6), 4 * BOND);
    }

    function test_join_twoInOneEpoch() public {
        inEpoch(5);
        joins(NEWCOMER, NEW_KEY, BOND);
        joins(address(0x2002), NEW_KEY + 1, BOND);
        inEpoch(6);
        vm.assertEq(stake.leadOf(3), vm.addr(NEW_KEY));
        vm.assertEq(stake.leadOf(4), vm.addr(NEW_KEY + 1));
    }

    function test_join_revertsIfBondTooSmall() public {
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_BondTooSmall.selector, BOND - 1, BOND));
        stake.join(vm.addr(NEW_KEY), BOND - 1);
    }

    function test_join_revertsIfJoined() public {
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_AlreadyJoined.selector, owners[0]));
        vm.prank(owners[0]);
        stake.join(vm.addr(NEW_KEY), BOND);
        exits(owners[0]);
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_AlreadyJoined.selector, owners[0]));
        vm.prank(owners[0]);
        stake.join(vm.addr(NEW_KEY), BOND);
    }

    function test_C43_signerServesOneOwnerOnce() public {
        address theirs = vm.addr(keys[0]);
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_SignerTaken.selector, theirs, owners[0]));
        stake.join(theirs, BOND);
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_SignerTaken.selector, theirs, owners[0]));
        vm.prank(owners[1]);
        stake.rotateSigner(theirs);
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_SignerTaken.selector, address(0), address(0)));
        stake.join(address(0), BOND);
    }

    function test_join_revertsIfFull() public {
        for (uint256 i = 3; i < 64; ++i) {
            joins(address(uint160(0x5000 + i)), 0x5000 + i, BOND);
        }
        token.approve(address(stake), BOND);
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_Full.selector, 64));
        stake.join(vm.addr(NEW_KEY), BOND);
        inEpoch(0);
        exits(owners[1]);
        stake.join(vm.addr(NEW_KEY), BOND);
        vm.assertEq(stake.leadOf(1), vm.addr(keys[1]));
        inEpoch(1);
        vm.assertEq(stake.leadOf(63), vm.addr(NEW_KEY));
        vm.assertEq(stake.leadOf(1), vm.addr(keys[2]));
    }

    function test_join_again() public {
        inEpoch(0);
        vm.warp(exits(owners[0]));
        vm.startPrank(owners[0]);
        stake.withdraw();
        token.approve(address(stake), BOND);
        stake.join(vm.addr(NEW_KEY), BOND);
        vm.stopPrank();
        inEpoch(30);
        vm.assertEq(weight(NEW_KEY, 30), BOND);
        vm.assertEq(weight(keys[0], 30), 0);
        vm.assertEq(stake.totalWeight(30), 3 * BOND);
        vm.assertEq(stake.leadOf(0), vm.addr(keys[1]));
        vm.assertEq(stake.leadOf(2), vm.addr(NEW_KEY));
        vm.assertEq(stake.leadOf(3), vm.addr(keys[1]));
    }

    function test_add_weighsFromNextEpoch() public {
        inEpoch(4);
        token.transfer(owners[0], 7);
        vm.startPrank(owners[0]);
        token.approve(address(stake), 7);
        stake.add(7);
        vm.stopPrank();
        vm.assertEq(weight(keys[0], 4), BOND);
        vm.assertEq(weight(keys[0], 5), BOND + 7);
        vm.assertEq(stake.totalWeight(5), 3 * BOND + 7);
    }

    function test_C45_topUpDoesNotTouchRelease() public {
        uint64 releaseAt = exits(owners[0]);
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_NotVerifying.selector, owners[0]));
        vm.prank(owners[0]);
        stake.add(1);
        (,, uint64 after_) = stake.verifiers(owners[0]);
        vm.assertEq(after_, releaseAt);
    }

    function test_exit_weighsUntilEpochEnds() public {
        inEpoch(7);
        vm.expectEmit(address(stake));
        emit Stake.Exited(owners[0], 8, GENESIS + 8 * EPOCH + 14 days);
        exits(owners[0]);
        vm.assertEq(weight(keys[0], 7), BOND);
        vm.assertEq(weight(keys[0], 8), 0);
        vm.assertEq(stake.totalWeight(8), 2 * BOND);
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_NotVerifying.selector, owners[0]));
        vm.prank(owners[0]);
        stake.exit();
    }

    function test_C36_withdrawAtBoundary() public {
        inEpoch(7);
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_NotReleased.selector, block.timestamp, 0));
        vm.prank(owners[0]);
        stake.withdraw();
        uint64 releaseAt = exits(owners[0]);
        vm.warp(releaseAt - 1);
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_NotReleased.selector, releaseAt - 1, releaseAt));
        vm.prank(owners[0]);
        stake.withdraw();
        vm.warp(releaseAt);
        vm.prank(owners[0]);
        stake.withdraw();
        vm.assertEq(token.balanceOf(owners[0]), BOND);
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_NothingHeld.selector, owners[0]));
        vm.prank(owners[0]);
        stake.withdraw();
    }

    function test_C40_stakeOutlivesItsVotes() public {
        inEpoch(3);
        uint64 releaseAt = exits(owners[0]);
        uint256 lastOpening = GENESIS + 4 * EPOCH - 1;
        vm.assertLe(lastOpening + ATTEMPT + CHALLENGE, releaseAt);
    }

    function test_C40_joinAndExitNeverWeighs() public {
        inEpoch(3);
        joins(NEWCOMER, NEW_KEY, 1_000 * BOND);
        exits(NEWCOMER);
        vm.assertEq(weight(NEW_KEY, 3), 0);
        vm.assertEq(weight(NEW_KEY, 4), 0);
        vm.assertEq(stake.totalWeight(4), 3 * BOND);
    }

    function test_rotateSigner_swapsWithTheEpoch() public {
        inEpoch(9);
        vm.expectEmit(address(stake));
        emit Stake.SignerRotated(owners[0], vm.addr(NEW_KEY), 10);
        vm.prank(owners[0]);
        stake.rotateSigner(vm.addr(NEW_KEY));
        vm.assertEq(weight(keys[0], 9), BOND);
        vm.assertEq(weight(NEW_KEY, 9), 0);
        vm.assertEq(weight(keys[0], 10), 0);
        vm.assertEq(weight(NEW_KEY, 10), BOND);
        vm.assertEq(stake.leadOf(0), vm.addr(keys[0]));
        inEpoch(10);
        vm.assertEq(stake.leadOf(0), vm.addr(NEW_KEY));
    }

    function test_C43_oldSignerCannotReturn() public {
        vm.startPrank(owners[0]);
        stake.rotateSigner(vm.addr(NEW_KEY));
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_SignerTaken.selector, vm.addr(keys[0]), owners[0]));
        stake.rotateSigner(vm.addr(keys[0]));
        vm.stopPrank();
    }

    function test_rotateSigner_twiceInOneEpoch() public {
        inEpoch(9);
        vm.startPrank(owners[0]);
        stake.rotateSigner(vm.addr(NEW_KEY));
        stake.rotateSigner(vm.addr(NEW_KEY + 1));
        vm.stopPrank();
        vm.assertEq(weight(keys[0], 9), BOND);
        vm.assertEq(weight(NEW_KEY, 10), 0);
        vm.assertEq(weight(NEW_KEY + 1, 10), BOND);
    }

    function test_heartbeat_byOwnerAndSigner() public {
        inEpoch(2);
        vm.expectEmit(address(stake));
        emit Stake.Heartbeat(owners[0]);
        vm.prank(owners[0]);
        stake.heartbeat();
        inEpoch(3);
        vm.prank(vm.addr(keys[0]));
        stake.heartbeat();
        (, uint64 heardAt,) = stake.verifiers(owners[0]);
        vm.assertEq(heardAt, block.timestamp);
    }

    function test_C44_heartbeatByOthersReverts() public {
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_NotVerifying.selector, address(this)));
        stake.heartbeat();
        vm.prank(owners[0]);
        stake.rotateSigner(vm.addr(NEW_KEY));
        address old = vm.addr(keys[0]);
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_NotVerifying.selector, old));
        vm.prank(old);
        stake.heartbeat();
        exits(owners[0]);
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_NotVerifying.selector, owners[0]));
        vm.prank(vm.addr(NEW_KEY));
        stake.heartbeat();
    }

    function test_C44_heartbeatCannotBeDiverted() public {
        vm.prank(owners[1]);
        stake.rotateSigner(owners[0]);
        inEpoch(4);
        vm.prank(owners[0]);
        stake.heartbeat();
        (, uint64 heardAt,) = stake.verifiers(owners[0]);
        vm.assertEq(heardAt, block.timestamp);
    }

    function test_C44_pruneOfTheLivingReverts() public {
        inEpoch(2);
        vm.prank(owners[0]);
        stake.heartbeat();
        uint256 silentFrom = block.timestamp + 14 days;
        vm.warp(silentFrom);
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_StillHeard.selector, owners[0], silentFrom));
        stake.prune(owners[0]);
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_NotVerifying.selector, NEWCOMER));
        stake.prune(NEWCOMER);
    }

    function test_prune_losesWeightNotStake() public {
        vm.warp(GENESIS + 14 days + 1);
        vm.expectEmit(address(stake));
        emit Stake.Pruned(owners[0], 15, GENESIS + 15 days + 14 days);
        stake.prune(owners[0]);
        vm.assertEq(weight(keys[0], 14), BOND);
        vm.assertEq(weight(keys[0], 15), 0);
        vm.assertEq(stake.totalWeight(15), 2 * BOND);
        vm.warp(GENESIS + 29 days);
        vm.prank(owners[0]);
        stake.withdraw();
        vm.assertEq(token.balanceOf(owners[0]), BOND);
    }

    function test_prune_countsFromGenesis() public {
        vm.warp(GENESIS + 14 days);
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_StillHeard.selector, owners[0], GENESIS + 14 days));
        stake.prune(owners[0]);
    }

    function slashes(uint256 i, uint256 amount) internal returns (uint256 taken) {
        address signer = vm.addr(keys[i]);
        vm.prank(address(channels));
        return stake.slash(signer, amount);
    }

    function held(address owner) internal view returns (uint256 amount) {
        (amount,,) = stake.verifiers(owner);
    }

    function test_slash_onlyByTheSlasher() public {
        address signer = vm.addr(keys[0]);
        address[3] memory others = [address(this), AUTHORITY, owners[0]];
        for (uint256 i = 0; i < 3; ++i) {
            vm.expectRevert(abi.encodeWithSelector(Stake.Stake_NotSlasher.selector, others[i]));
            vm.prank(others[i]);
            stake.slash(signer, 1);
        }
        address[2] memory slashers = [stake.CHANNELS(), stake.challenges()];
        for (uint256 i = 0; i < 2; ++i) {
            vm.prank(slashers[i]);
            vm.assertEq(stake.slash(signer, 1), 1);
            vm.assertEq(token.balanceOf(slashers[i]), 1);
        }
    }

    function test_slash_weighsLessFromNextEpoch() public {
        inEpoch(5);
        adds(owners[0], 30);
        inEpoch(6);
        vm.expectEmit(address(stake));
        emit Stake.Slashed(owners[0], vm.addr(keys[0]), 20);
        vm.assertEq(slashes(0, 20), 20);
        vm.assertEq(held(owners[0]), BOND + 10);
        vm.assertEq(token.balanceOf(address(channels)), 20);
        vm.assertEq(weight(keys[0], 6), BOND + 30);
        vm.assertEq(weight(keys[0], 7), BOND + 10);
        vm.assertEq(stake.totalWeight(7), 3 * BOND + 10);
        vm.assertEq(stake.stakeOf(vm.addr(keys[0])), BOND + 10);
    }

    function test_slash_belowTheBondLeaves() public {
        inEpoch(5);
        vm.expectEmit(address(stake));
        emit Stake.Exited(owners[0], 6, GENESIS + 6 * EPOCH + 14 days);
        slashes(0, 1);
        vm.assertEq(weight(keys[0], 6), 0);
        vm.assertEq(stake.totalWeight(6), 2 * BOND);
        vm.assertEq(stake.stakeOf(vm.addr(keys[0])), 0);
        vm.warp(GENESIS + 6 * EPOCH + 14 days);
        vm.prank(owners[0]);
        stake.withdraw();
        vm.assertEq(token.balanceOf(owners[0]), BOND - 1);
    }

    function test_C36_slashHitsUnbonding() public {
        inEpoch(5);
        uint64 releaseAt = exits(owners[0]);
        vm.warp(releaseAt);
        vm.assertEq(slashes(0, 40), 40);
        (, , uint64 after_) = stake.verifiers(owners[0]);
        vm.assertEq(after_, releaseAt);
        vm.assertEq(stake.totalWeight(6), 2 * BOND);
        vm.prank(owners[0]);
        stake.withdraw();
        vm.assertEq(token.balanceOf(owners[0]), BOND - 40);
        vm.assertEq(slashes(0, 40), 0);
    }

    function test_C38_slashTakesWhatIsHeldAtMost() public {
        inEpoch(5);
        vm.assertEq(slashes(0, type(uint256).max), BOND);
        vm.assertEq(held(owners[0]), 0);
        vm.assertEq(slashes(0, 1), 0);
        vm.assertEq(token.balanceOf(address(stake)), 2 * BOND);
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_NothingHeld.selector, owners[0]));
        vm.prank(owners[0]);
        stake.withdraw();
        vm.prank(address(channels));
        vm.assertEq(stake.slash(NEWCOMER, 1), 0);
    }

    function test_C38_slashedToNothingReturns() public {
        inEpoch(5);
        slashes(0, BOND);
        joins(owners[0], NEW_KEY, BOND);
        vm.assertEq(weight(keys[0], 5), BOND);
        vm.assertEq(weight(NEW_KEY, 5), 0);
        vm.assertEq(stake.leadOf(0), vm.addr(keys[0]));
        inEpoch(6);
        vm.assertEq(weight(keys[0], 6), 0);
        vm.assertEq(weight(NEW_KEY, 6), BOND);
        vm.assertEq(stake.totalWeight(6), 3 * BOND);
        vm.assertEq(stake.leadOf(2), vm.addr(NEW_KEY));
        vm.assertEq(stake.leadOf(3), vm.addr(keys[1]));
    }

    function test_slash_byAReplacedSigner() public {
        vm.prank(owners[0]);
        stake.rotateSigner(vm.addr(NEW_KEY));
        inEpoch(3);
        vm.assertEq(slashes(0, 40), 40);
        vm.assertEq(held(owners[0]), BOND - 40);
    }

    function test_stakeOf_newestSignerOfWhoVerifies() public {
        vm.assertEq(stake.stakeOf(vm.addr(keys[0])), BOND);
        vm.assertEq(stake.stakeOf(owners[0]), 0);
        vm.assertEq(stake.stakeOf(address(0)), 0);
        vm.prank(owners[0]);
        stake.rotateSigner(vm.addr(NEW_KEY));
        vm.assertEq(stake.stakeOf(vm.addr(keys[0])), 0);
        vm.assertEq(stake.stakeOf(vm.addr(NEW_KEY)), BOND);
        exits(owners[0]);
        vm.assertEq(stake.stakeOf(vm.addr(NEW_KEY)), 0);
    }

    function test_leadOf_rotatesInOrderOfJoining() public view {
        for (uint256 turn = 0; turn < 7; ++turn) {
            vm.assertEq(stake.leadOf(turn), vm.addr(keys[turn % 3]));
        }
        vm.assertEq(stake.leadOf(type(uint256).max), vm.addr(keys[type(uint256).max % 3]));
    }

    function test_leadOf_isFixedWithinAnEpoch() public {
        inEpoch(3);
        joins(NEWCOMER, NEW_KEY, BOND);
        exits(owners[0]);
        test_leadOf_rotatesInOrderOfJoining();
        inEpoch(4);
        vm.assertEq(stake.leadOf(0), vm.addr(keys[1]));
        vm.assertEq(stake.leadOf(2), vm.addr(NEW_KEY));
    }

    function test_leadOf_nobody() public {
        for (uint256 i = 0; i < 3; ++i) {
            exits(owners[i]);
        }
        vm.assertEq(stake.leadOf(0), address(0));
    }

    function forfeits(address signer) internal {
        vm.prank(address(challenges));
        stake.forfeit(signer);
    }

    function test_forfeit_onlyByTheChallenges() public {
        address signer = vm.addr(keys[0]);
        address[3] memory others = [address(this), AUTHORITY, address(channels)];
        for (uint256 i = 0; i < 3; ++i) {
            vm.expectRevert(abi.encodeWithSelector(Stake.Stake_NotSlasher.selector, others[i]));
            vm.prank(others[i]);
            stake.forfeit(signer);
        }
    }

    function test_forfeit_takesEverything() public {
        inEpoch(5);
        vm.expectEmit(address(stake));
        emit Stake.Forfeited(owners[0], vm.addr(keys[0]), BOND);
        forfeits(vm.addr(keys[0]));
        vm.assertEq(held(owners[0]), 0);
        vm.assertEq(stake.heldOf(vm.addr(keys[0])), 0);
        vm.assertEq(stake.stakeOf(vm.addr(keys[0])), 0);
        vm.assertEq(stake.forfeited(), BOND);
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_NothingHeld.selector, owners[0]));
        vm.prank(owners[0]);
        stake.withdraw();
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_NotVerifying.selector, owners[0]));
        vm.prank(owners[0]);
        stake.exit();
    }

    function test_C37_forfeitTwice() public {
        forfeits(vm.addr(keys[0]));
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_NothingHeld.selector, owners[0]));
        forfeits(vm.addr(keys[0]));
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_NothingHeld.selector, address(0)));
        forfeits(NEWCOMER);
    }

    function test_C36_forfeitHitsUnbonding() public {
        inEpoch(5);
        vm.warp(exits(owners[0]));
        forfeits(vm.addr(keys[0]));
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_NothingHeld.selector, owners[0]));
        vm.prank(owners[0]);
        stake.withdraw();
        vm.assertEq(stake.forfeited(), BOND);
    }

    function test_C36_rotatingDoesNotEscape() public {
        inEpoch(5);
        vm.startPrank(owners[0]);
        stake.rotateSigner(vm.addr(NEW_KEY));
        stake.exit();
        vm.stopPrank();
        forfeits(vm.addr(keys[0]));
        vm.assertEq(stake.heldOf(vm.addr(NEW_KEY)), 0);
    }

    function test_C42_slashThenForfeitThenAdjust() public {
        inEpoch(5);
        adds(owners[0], 60);
        slashes(0, 50);
        forfeits(vm.addr(keys[0]));
        vm.assertEq(stake.forfeited(), BOND + 10);
        vm.assertEq(slashes(0, 1), 0);
        vm.assertEq(weight(keys[0], 6), BOND + 10);
        vm.expectEmit(address(stake));
        emit Stake.WeightSet(owners[0], 6, 0);
        vm.expectEmit(address(stake));
        emit Stake.Exited(owners[0], 6, GENESIS + 6 * EPOCH + 14 days);
        stake.adjust(owners[0]);
        vm.assertEq(weight(keys[0], 5), BOND);
        vm.assertEq(weight(keys[0], 6), 0);
        vm.assertEq(stake.totalWeight(6), 2 * BOND);
    }

    function test_adjust_revertsIfInLine() public {
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_InLine.selector, owners[0], BOND));
        stake.adjust(owners[0]);
        exits(owners[0]);
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_InLine.selector, owners[0], 0));
        stake.adjust(owners[0]);
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_InLine.selector, NEWCOMER, 0));
        stake.adjust(NEWCOMER);
    }

    function test_adjust_beforeItReturns() public {
        inEpoch(5);
        forfeits(vm.addr(keys[0]));
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_AlreadyJoined.selector, owners[0]));
        vm.prank(owners[0]);
        stake.join(vm.addr(NEW_KEY), BOND);
        stake.adjust(owners[0]);
        joins(owners[0], NEW_KEY, BOND);
        vm.assertEq(stake.totalWeight(6), 3 * BOND);
    }

    function test_burnForfeited() public {
        forfeits(vm.addr(keys[0]));
        forfeits(vm.addr(keys[1]));
        uint256 supply = token.totalSupply();
        vm.expectEmit(address(stake));
        emit Stake.ForfeitedBurned(2 * BOND);
        stake.burnForfeited();
        vm.assertEq(token.totalSupply(), supply - 2 * BOND);
        vm.assertEq(token.balanceOf(address(stake)), BOND);
        stake.burnForfeited();
        vm.assertEq(token.balanceOf(address(stake)), BOND);
        vm.assertEq(stake.challenges(), address(challenges));
    }

    /// @dev Whatever gas a caller gives: the supply falls, or nothing happens.
    function test_K90_burningIsNotStarved() public {
        forfeits(vm.addr(keys[0]));
        uint256 supply = token.totalSupply();
        for (uint256 gas_ = 10_000; stake.forfeited() != 0; gas_ += 2_000) {
            (bool done,) = address(stake).call{gas: gas_}(abi.encodeCall(stake.burnForfeited, ()));
            vm.assertTrue(done == (stake.forfeited() == 0));
        }
        vm.assertEq(token.totalSupply(), supply - BOND);
        vm.assertEq(token.balanceOf(address(0xdEaD)), 0);
    }

    function test_burnForfeited_ofATokenThatCannotBurn() public {
        Coin other = new Coin();
        Stake there = new Stake(other, GENESIS, EPOCH, 10, UNBONDING, address(2), address(this), AUTHORITY, REPLACE);
        other.mint(address(this), 10);
        other.approve(address(there), 10);
        there.join(vm.addr(NEW_KEY), 10);
        there.forfeit(vm.addr(NEW_KEY));
        there.burnForfeited();
        vm.assertEq(other.balanceOf(address(0xdEaD)), 10);
    }

    function test_punish_onlyByTheAuthority() public {
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_NotAuthority.selector, address(this), AUTHORITY));
        stake.punish(owners[0], 1, "why");
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_NotAuthority.selector, address(this), AUTHORITY));
        stake.expel(owners[0]);
    }

    function punishes(address owner, uint256 bps) internal {
        vm.prank(AUTHORITY);
        stake.punish(owner, bps, "why");
    }

    function test_punish_takesAPartAndNotAgainSoon() public {
        inEpoch(5);
        adds(owners[0], BOND + 1);
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_PunishTooLarge.selector, 2_001, 2_000));
        punishes(owners[0], 2_001);
        uint256 amount = (2 * uint256(BOND) + 1) / 5 + 1;
        vm.expectEmit(address(stake));
        emit Stake.PunishedByVote(owners[0], amount, "why");
        punishes(owners[0], 2_000);
        vm.assertEq(held(owners[0]), 2 * BOND + 1 - amount);
        vm.assertEq(weight(keys[0], 6), 2 * BOND + 1 - amount);
        vm.assertEq(weight(keys[0], 5), BOND);
        vm.assertEq(stake.forfeited(), amount);
        vm.expectRevert(
            abi.encodeWithSelector(Stake.Stake_PunishedRecently.selector, owners[0], block.timestamp + 30 days)
        );
        punishes(owners[0], 1);
        vm.warp(block.timestamp + 30 days);
        punishes(owners[0], 1);
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_NothingHeld.selector, NEWCOMER));
        punishes(NEWCOMER, 1);
    }

    function test_punish_belowTheBondLeaves() public {
        inEpoch(5);
        punishes(owners[0], 1);
        vm.assertEq(weight(keys[0], 6), 0);
        vm.warp(GENESIS + 6 * EPOCH + 14 days);
        vm.prank(owners[0]);
        stake.withdraw();
        vm.assertEq(token.balanceOf(owners[0]), BOND - BOND / 10_000);
    }

    function test_punish_hitsUnbonding() public {
        inEpoch(5);
        uint64 releaseAt = exits(owners[0]);
        punishes(owners[0], 2_000);
        vm.warp(releaseAt);
        vm.prank(owners[0]);
        stake.withdraw();
        vm.assertEq(token.balanceOf(owners[0]), BOND * 4 / 5);
    }

    function test_expel_losesWeightNotStake() public {
        inEpoch(5);
        vm.expectEmit(address(stake));
        emit Stake.Expelled(owners[0], 6, GENESIS + 6 * EPOCH + 14 days);
        vm.prank(AUTHORITY);
        stake.expel(owners[0]);
        vm.assertEq(weight(keys[0], 5), BOND);
        vm.assertEq(weight(keys[0], 6), 0);
        vm.warp(GENESIS + 6 * EPOCH + 14 days);
        vm.prank(owners[0]);
        stake.withdraw();
        vm.assertEq(token.balanceOf(owners[0]), BOND);
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_NotVerifying.selector, owners[0]));
        vm.prank(AUTHORITY);
        stake.expel(owners[0]);
    }

    function test_C41_aLargeStakeIsCapped() public {
        inEpoch(0);
        adds(owners[0], 96 * BOND);
        // Three weigh what they have; from four on a quarter of all.
        vm.assertEq(weight(keys[0], 1), 97 * BOND);
        vm.assertEq(stake.totalWeight(1), 99 * BOND);
        joins(NEWCOMER, NEW_KEY, BOND);
        vm.assertEq(weight(keys[0], 0), BOND);
        vm.assertEq(weight(keys[0], 1), 25 * BOND);
        vm.assertEq(weight(NEW_KEY, 1), BOND);
        vm.assertEq(stake.totalWeight(1), 28 * BOND);
        inEpoch(1);
        exits(NEWCOMER);
        vm.assertEq(weight(keys[0], 1), 25 * BOND);
        vm.assertEq(weight(keys[0], 2), 97 * BOND);
    }

    /// @dev Beside an honest stake, whoever has less than half of all stake stays below two thirds of the votes, however it splits.
    function testFuzz_C41_sybilsNeedHalfOfAllStake(uint256 parts, uint256 stakes) public {
        parts = bound(parts, 3, 20);
        uint256 honest = parts * BOND + stakes % (1_000 * BOND) + 1;
        for (uint256 i = 0; i < 3; ++i) {
            exits(owners[i]);
        }
        joins(NEWCOMER, NEW_KEY, honest);
        for (uint256 i = 0; i < parts; ++i) {
            joins(address(uint160(0x9000 + i)), 0x9000 + i, BOND);
        }
        uint256 theirs = 0;
        for (uint256 i = 0; i < parts; ++i) {
            theirs += weight(0x9000 + i, 0);
        }
        vm.assertEq(theirs + weight(NEW_KEY, 0), stake.totalWeight(0));
        // The cap is rounded down by less than a unit, of which there are four in a whole.
        vm.assertTrue(theirs * 3 < stake.totalWeight(0) * 2 || theirs * 2 + 3 >= honest + theirs);
    }

    function test_WeightSet_onEveryChange() public {
        inEpoch(5);
        token.transfer(owners[0], 7);
        vm.startPrank(owners[0]);
        token.approve(address(stake), 7);
        vm.expectEmit(address(stake));
        emit Stake.WeightSet(owners[0], 6, BOND + 7);
        stake.add(7);
        vm.stopPrank();
        vm.expectEmit(address(stake));
        emit Stake.WeightSet(owners[0], 6, BOND);
        slashes(0, 7);
        vm.expectEmit(address(stake));
        emit Stake.WeightSet(owners[0], 6, 0);
        exits(owners[0]);
    }

    function test_replace_challenges() public {
        vm.prank(AUTHORITY);
        stake.announce(address(this));
        vm.warp(block.timestamp + REPLACE);
        stake.replace();
        vm.assertEq(stake.challenges(), address(this));
        stake.forfeit(vm.addr(keys[0]));
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_NotSlasher.selector, address(challenges)));
        forfeits(vm.addr(keys[1]));
    }

    /// @dev The three signers in ascending order.
    function ascending() internal view returns (address[] memory sorted) {
        sorted = new address[](3);
        for (uint256 i = 0; i < 3; ++i) {
            sorted[i] = vm.addr(keys[i]);
        }
        sort(sorted);
    }

    function sort(address[] memory list) internal pure {
        for (uint256 i = 1; i < list.length; ++i) {
            for (uint256 j = i; j > 0 && list[j - 1] > list[j]; --j) {
                (list[j - 1], list[j]) = (list[j], list[j - 1]);
            }
        }
    }

    function requireWeighs(address[] memory signers_, uint32 epoch, uint256 sum, uint256 total) internal view {
        (uint256 sum_, uint256 total_) = stake.weigh(signers_, epoch);
        vm.assertEq(sum_, sum);
        vm.assertEq(total_, total);
    }

    function refusesToWeigh(address[] memory list, address weightless) internal {
        vm.expectRevert(abi.encodeWithSelector(IWeights.Weights_Weightless.selector, weightless, 1));
        stake.weigh(list, 1);
    }

    function test_weigh_byPanelAndOneByOne() public {
        inEpoch(1);
        requireWeighs(ascending(), 1, 3 * BOND, 3 * BOND);
        requireWeighs(new address[](0), 1, 0, 3 * BOND);
        vm.expectEmit(address(stake));
        emit Stake.Published(vm.computeCreateAddress(address(stake), vm.getNonce(address(stake))), 0);
        stake.publish();
        requireWeighs(ascending(), 0, 3 * BOND, 3 * BOND);
        requireWeighs(ascending(), 900, 3 * BOND, 3 * BOND);
        requireWeighs(new address[](0), 1, 0, 3 * BOND);
        address[] memory one = new address[](1);
        for (uint256 i = 0; i < 3; ++i) {
            one[0] = vm.addr(keys[i]);
            requireWeighs(one, 1, BOND, 3 * BOND);
        }
    }

    function test_weigh_revertsOnWhoeverWeighsNothing() public {
        inEpoch(1);
        for (uint256 round = 0; round < 2; ++round) {
            address[] memory list = ascending();
            address[4] memory strangers = [address(1), address(type(uint160).max), vm.addr(NEW_KEY), owners[0]];
            for (uint256 i = 0; i < 4; ++i) {
                address[] memory four = new address[](4);
                (four[0], four[1], four[2], four[3]) = (list[0], list[1], list[2], strangers[i]);
                sort(four);
                refusesToWeigh(four, strangers[i]);
            }
            address[] memory none = new address[](1);
            refusesToWeigh(none, address(0));
            if (round == 0) stake.publish();
        }
        // Twice the same, or not ascending: nobody counts twice by a panel.
        address[] memory twice = ascending();
        twice[1] = twice[0];
        refusesToWeigh(twice, twice[0]);
        twice = ascending();
        (twice[0], twice[2]) = (twice[2], twice[0]);
        refusesToWeigh(twice, twice[1]);
    }

    function test_publish_holdsUntilTheNextChangeActs() public {
        inEpoch(3);
        stake.publish();
        vm.expectRevert(
            abi.encodeWithSelector(
                Stake.Stake_AlreadyPublished.selector, vm.computeCreateAddress(address(stake), 1)
            )
        );
        stake.publish();
        adds(owners[0], 7);
        (, uint32 from, uint32 until) = stake.panel();
        vm.assertEq(from, 0);
        vm.assertEq(until, 4);
        requireWeighs(ascending(), 3, 3 * BOND, 3 * BOND);
        requireWeighs(ascending(), 4, 3 * BOND + 7, 3 * BOND + 7);
        vm.warp(GENESIS + 4 * EPOCH);
        stake.publish();
        (, from, until) = stake.panel();
        vm.assertEq(from, 4);
        requireWeighs(ascending(), 3, 3 * BOND, 3 * BOND);
        requireWeighs(ascending(), 4, 3 * BOND + 7, 3 * BOND + 7);
    }

    function test_publish_notWhileAChangeWaits() public {
        inEpoch(3);
        adds(owners[0], 7);
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_ChangesPending.selector, 3, 4));
        stake.publish();
    }

    function test_publish_beforeGenesisEndsWithWhoeverJoins() public {
        stake.publish();
        joins(NEWCOMER, NEW_KEY, BOND);
        address[] memory one = new address[](1);
        one[0] = vm.addr(NEW_KEY);
        requireWeighs(one, 0, BOND, 4 * BOND);
        stake.publish();
        requireWeighs(one, 0, BOND, 4 * BOND);
    }

    function test_publish_ofSixtyFour() public {
        for (uint256 i = 3; i < 64; ++i) {
            joins(address(uint160(0x5000 + i)), 0x5000 + i, BOND + i);
        }
        stake.publish();
        address[] memory all = new address[](64);
        for (uint256 i = 0; i < 64; ++i) {
            all[i] = vm.addr(i < 3 ? keys[i] : 0x5000 + i);
        }
        sort(all);
        requireWeighs(all, 0, stake.totalWeight(0), stake.totalWeight(0));
        vm.assertEq(stake.totalWeight(0), 64 * uint256(BOND) + 63 * 32 - 3);
    }

    /// @dev Six owners, three of whom are there from the start, and what Stake should know of them, kept without any cleverness.
    address[6] internal six;
    address[6] internal signers;
    uint256[6] internal raws;

    /// @dev One change of one of the six in the running epoch.
    function moves(uint256 seed) internal {
        uint256 i = seed % 6;
        address owner = six[i];
        uint256 amount = (seed >> 32) % (3 * BOND);
        uint256 what = (seed >> 8) % 6;
        if (raws[i] == 0) {
            if (held(owner) != 0) return;
            signers[i] = vm.addr(++lastKey);
            raws[i] = BOND + amount;
            joins(owner, lastKey, raws[i]);
        } else if (what == 0) {
            exits(owner);
            raws[i] = 0;
        } else if (what == 1) {
            adds(owner, amount);
            raws[i] += amount;
        } else if (what == 2) {
            signers[i] = vm.addr(++lastKey);
            vm.prank(owner);
            stake.rotateSigner(signers[i]);
        } else if (what == 3) {
            vm.prank(address(channels));
            raws[i] -= stake.slash(signers[i], amount);
            if (raws[i] < BOND) raws[i] = 0;
        } else if (what == 4) {
            forfeits(signers[i]);
            stake.adjust(owner);
            raws[i] = 0;
        } else {
            vm.prank(AUTHORITY);
            stake.expel(owner);
            raws[i] = 0;
        }
    }

    /// @dev The weights of every epoch, compared with a loop over what should be there, long after and through several changes an epoch.
    function testFuzz_C41_cappedWeightsMatchALoop(uint256[10] memory seeds) public {
        for (uint256 i = 0; i < 6; ++i) {
            six[i] = i < 3 ? owners[i] : address(uint160(0x6000 + i));
            if (i < 3) (signers[i], raws[i]) = (vm.addr(keys[i]), BOND);
        }
        uint256[6][] memory weights = new uint256[6][](seeds.length + 1);
        address[6][] memory names = new address[6][](seeds.length + 1);
        vm.warp(GENESIS + 1);
        uint32 epoch = 0;
        (weights[0], names[0]) = (raws, signers);
        for (uint256 i = 0; i < seeds.length; ++i) {
            if (seeds[i] >> 254 == 3) {
                try stake.publish() {} catch {}
            }
            moves(seeds[i]);
            if (seeds[i] >> 255 == 1) continue;
            vm.warp(block.timestamp + EPOCH);
            ++epoch;
            (weights[epoch], names[epoch]) = (raws, signers);
        }
        for (uint32 e = 0; e <= epoch; ++e) {
            requireSame(e, weights[e], names[e]);
        }
    }

    function requireSame(uint32 epoch, uint256[6] memory weights, address[6] memory names) internal view {
        uint256 sum = 0;
        uint256 n = 0;
        for (uint256 i = 0; i < 6; ++i) {
            sum += weights[i];
            if (weights[i] != 0) ++n;
        }
        uint256 total = 0;
        address[] memory weighing = new address[](n);
        n = 0;
        for (uint256 i = 0; i < 6; ++i) {
            uint256 capped = weighing.length >= 4 && weights[i] > sum / 4 ? sum / 4 : weights[i];
            if (names[i] != address(0)) vm.assertEq(stake.weightOf(names[i], epoch), capped);
            if (capped != 0) weighing[n++] = names[i];
            total += capped;
        }
        vm.assertEq(stake.totalWeight(epoch), total);
        sort(weighing);
        requireWeighs(weighing, epoch, total, total);
    }

    uint256 internal lastKey = 0x10000;

    /// @dev One change in a random epoch; `seed` says which. Leaves the clock in that epoch.
    function changes(uint256 seed) internal {
        address owner = owners[seed % 3];
        (uint128 held_,, uint64 releaseAt) = stake.verifiers(owner);
        uint256 what = (seed >> 8) % 4;
        vm.warp(block.timestamp + (seed >> 16) % (2 * EPOCH));
        if (held_ != 0 && releaseAt == 0) {
            if (what == 0) exits(owner);
            if (what == 1) adds(owner, (seed >> 32) % 50e18);
            if (what == 2) {
                vm.prank(owner);
                stake.rotateSigner(vm.addr(++lastKey));
            }
            if (what == 3) {
                vm.prank(address(channels));
                stake.slash(vm.addr(keys[seed % 3]), (seed >> 32) % 120e18);
            }
        } else if (held_ != 0 && block.timestamp >= releaseAt) {
            vm.prank(owner);
            stake.withdraw();
            joins(owner, ++lastKey, BOND + what);
        } else if (held_ == 0) {
            // Slashed to nothing.
            token.transfer(owner, BOND);
            vm.startPrank(owner);
            token.approve(address(stake), BOND);
            try stake.join(vm.addr(++lastKey), BOND) {} catch {}
            vm.stopPrank();
        }
    }

    function adds(address owner, uint256 amount) internal {
        token.transfer(owner, amount);
        vm.startPrank(owner);
        token.approve(address(stake), amount);
        stake.add(amount);
        vm.stopPrank();
    }

    function testFuzz_totalIsSumOfWeights(uint256[12] memory seeds) public {
        vm.warp(GENESIS - 1 days);
        for (uint256 i = 0; i < seeds.length; ++i) {
            changes(seeds[i]);
            uint32 running = uint32(block.timestamp < GENESIS ? 0 : (block.timestamp - GENESIS) / EPOCH);
            uint256 sum = 0;
            for (uint256 turn = 0; turn < 3; ++turn) {
                address signer = stake.leadOf(turn);
                bool seen = signer == address(0);
                for (uint256 before = 0; before < turn; ++before) {
                    seen = seen || stake.leadOf(before) == signer;
                }
                if (!seen) sum += stake.weightOf(signer, running);
            }
            vm.assertEq(sum, stake.totalWeight(running));
        }
    }

    function testFuzz_pastWeightsNeverChange(uint256[8] memory seeds) public {
        vm.warp(GENESIS + 1);
        for (uint256 i = 0; i < seeds.length; ++i) {
            uint32 running = uint32((block.timestamp - GENESIS) / EPOCH);
            uint256 total = stake.totalWeight(running);
            uint256 first = weight(keys[0], running);
            changes(seeds[i]);
            vm.assertEq(stake.totalWeight(running), total);
            vm.assertEq(weight(keys[0], running), first);
        }
    }
}
