// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Stake} from "../src/Stake.sol";
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

    function test_deploy_revertsIfUnbondingTooShort() public {
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_UnbondingTooShort.selector, 14 days - 1, 14 days));
        new Stake(token, GENESIS, EPOCH, BOND, 14 days - 1, address(this));
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_UnbondingTooShort.selector, 29 days, 30 days));
        new Stake(token, GENESIS, 30 days, BOND, 29 days, address(this));
    }

    function test_deploy_revertsIfEmpty() public {
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_BondTooSmall.selector, 0, 1));
        new Stake(token, GENESIS, EPOCH, 0, 14 days, address(this));
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_EpochTooShort.selector, 0));
        new Stake(token, GENESIS, 0, BOND, 14 days, address(this));
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
        joins(NEWCOMER, NEW_KEY, 2 * BOND);
        vm.assertEq(weight(NEW_KEY, 5), 0);
        vm.assertEq(weight(NEW_KEY, 6), 2 * BOND);
        vm.assertEq(stake.totalWeight(5), 3 * BOND);
        vm.assertEq(stake.totalWeight(6), 5 * BOND);
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
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_Full.selector, 64));
        stake.join(vm.addr(NEW_KEY), BOND);
        inEpoch(1);
        stake.join(vm.addr(NEW_KEY), BOND);
        inEpoch(2);
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
        vm.assertEq(stake.SLASHER(), address(channels));
        address signer = vm.addr(keys[0]);
        address[3] memory others = [address(this), AUTHORITY, owners[0]];
        for (uint256 i = 0; i < 3; ++i) {
            vm.expectRevert(
                abi.encodeWithSelector(Stake.Stake_NotSlasher.selector, others[i], address(channels))
            );
            vm.prank(others[i]);
            stake.slash(signer, 1);
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

    function test_C38_slashedToNothingReturnsNextEpoch() public {
        inEpoch(5);
        slashes(0, BOND);
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_AlreadyJoined.selector, owners[0]));
        vm.prank(owners[0]);
        stake.join(vm.addr(NEW_KEY), BOND);
        vm.assertEq(stake.leadOf(0), vm.addr(keys[0]));
        inEpoch(6);
        joins(owners[0], NEW_KEY, BOND);
        inEpoch(7);
        vm.assertEq(stake.totalWeight(7), 3 * BOND);
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
            // Slashed to nothing: it can return once it weighs no longer.
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
