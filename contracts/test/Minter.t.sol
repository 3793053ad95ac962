// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Minter} from "../src/Minter.sol";
import {Succession} from "../src/Succession.sol";
import {Token} from "../src/Token.sol";
import {Network} from "./support/Network.sol";

contract MinterTest is Network {
    address internal constant CALLER = address(0x5E);

    /// @dev A minter whose settlement is CALLER.
    function setUp() public override {
        vm.warp(GENESIS);
        make(CAP, Minter.Breaker(BURST, REFILL));
    }

    function make(uint256 cap, Minter.Breaker memory breaker) internal {
        address minterAt = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 1);
        token = new Token("Subak", "SBK", cap, minterAt, new address[](0), new uint256[](0));
        (bytes32[] memory pools, uint16[] memory bps) = onePool();
        minter = new Minter(token, CALLER, AUTHORITY, GUARDIAN, REPLACE, schedule(), breaker, pools, bps);
    }

    function mints(uint32 first, uint32 last, uint256 amount) internal {
        vm.prank(CALLER);
        minter.mint(first, last, amount);
    }

    function twoPools(uint16 a, uint16 b) internal pure returns (bytes32[] memory pools, uint16[] memory bps) {
        pools = new bytes32[](2);
        bps = new uint16[](2);
        (pools[0], pools[1]) = ("bootstrap", "verifiers");
        (bps[0], bps[1]) = (a, b);
    }

    function deploysWith(bytes32[] memory pools, uint16[] memory bps) internal {
        new Minter(token, CALLER, AUTHORITY, GUARDIAN, REPLACE, schedule(), Minter.Breaker(BURST, REFILL), pools, bps);
    }

    function test_deploy_emitsFacts() public {
        (bytes32[] memory pools, uint16[] memory bps) = onePool();
        address made = vm.computeCreateAddress(address(this), vm.getNonce(address(this)));
        vm.expectEmit(made);
        emit Minter.ScheduleSet(GENESIS, EPOCH, PERIOD, schedule().budgetPerEpoch);
        vm.expectEmit(made);
        emit Minter.WeightsSet(0, pools, bps);
        deploysWith(pools, bps);
    }

    function test_deploy_revertsIfBurstTooSmall() public {
        (bytes32[] memory pools, uint16[] memory bps) = onePool();
        vm.expectRevert(abi.encodeWithSelector(Minter.Minter_BurstTooSmall.selector, BUDGET - 1, BUDGET));
        new Minter(token, CALLER, AUTHORITY, GUARDIAN, REPLACE, schedule(), Minter.Breaker(BUDGET - 1, REFILL), pools, bps);
    }

    function test_deploy_revertsIfRefillTooSlow() public {
        (bytes32[] memory pools, uint16[] memory bps) = onePool();
        uint128 slow = REFILL - 1;
        vm.expectRevert(abi.encodeWithSelector(Minter.Minter_RefillTooSlow.selector, uint256(slow) * EPOCH, BUDGET));
        new Minter(token, CALLER, AUTHORITY, GUARDIAN, REPLACE, schedule(), Minter.Breaker(BURST, slow), pools, bps);
    }

    function test_deploy_revertsIfClockEmpty() public {
        (bytes32[] memory pools, uint16[] memory bps) = onePool();
        Minter.Schedule memory s = schedule();
        s.epochsPerPeriod = 0;
        vm.expectRevert(abi.encodeWithSelector(Minter.Minter_EmptyClock.selector, EPOCH, 0));
        new Minter(token, CALLER, AUTHORITY, GUARDIAN, REPLACE, s, Minter.Breaker(BURST, REFILL), pools, bps);
        (s.epochSeconds, s.epochsPerPeriod) = (0, PERIOD);
        vm.expectRevert(abi.encodeWithSelector(Minter.Minter_EmptyClock.selector, 0, PERIOD));
        new Minter(token, CALLER, AUTHORITY, GUARDIAN, REPLACE, s, Minter.Breaker(BURST, REFILL), pools, bps);
    }

    function test_D48_weightsMustSumToTenThousand() public {
        (bytes32[] memory pools, uint16[] memory bps) = twoPools(9_000, 999);
        vm.expectRevert(abi.encodeWithSelector(Minter.Minter_WeightsSum.selector, 9_999, 10_000));
        deploysWith(pools, bps);
        vm.expectRevert(abi.encodeWithSelector(Minter.Minter_WeightsSum.selector, 0, 10_000));
        deploysWith(new bytes32[](0), new uint16[](0));
    }

    function test_D48_poolTwiceReverts() public {
        (bytes32[] memory pools, uint16[] memory bps) = twoPools(9_000, 1_000);
        pools[1] = pools[0];
        vm.expectRevert(abi.encodeWithSelector(Minter.Minter_PoolTwice.selector, pools[0]));
        deploysWith(pools, bps);
    }

    function test_deploy_revertsOnPoolCount() public {
        vm.expectRevert(abi.encodeWithSelector(Minter.Minter_PoolCount.selector, 2, 1, 16));
        deploysWith(new bytes32[](2), new uint16[](1));
        vm.expectRevert(abi.encodeWithSelector(Minter.Minter_PoolCount.selector, 17, 17, 16));
        deploysWith(new bytes32[](17), new uint16[](17));
    }

    function testFuzz_scheduled_equalsSumOfEpochs(uint32 first, uint32 length) public view {
        first = uint32(bound(first, 0, 30));
        length = uint32(bound(length, 1, 30));
        uint256 sum = 0;
        for (uint32 epoch = first; epoch < first + length; ++epoch) {
            sum += epoch < PERIOD ? BUDGET : epoch < 2 * PERIOD ? LATER_BUDGET : 0;
        }
        vm.assertEq(minter.scheduled(first, first + length - 1), sum);
    }

    function test_D50_budgetAtEpochZeroAndLast() public view {
        uint32 last = type(uint32).max;
        vm.assertEq(minter.scheduled(0, 0), BUDGET);
        vm.assertEq(minter.scheduled(last, last), 0);
        vm.assertEq(minter.scheduled(0, last), uint256(PERIOD) * (BUDGET + LATER_BUDGET));
    }

    function test_budget_ofBackwardsRangeIsZero() public view {
        vm.assertEq(minter.budget(5, 4), 0);
        vm.assertEq(minter.budget(15, 4), 0);
    }

    function test_budget_isAtMostBurst() public view {
        vm.assertEq(minter.scheduled(0, 3), 4 * BUDGET);
        vm.assertEq(minter.budget(0, 3), BURST);
    }

    function test_D47_budgetIsAtMostWhatCapLeaves() public {
        make(BUDGET + 7, Minter.Breaker(BURST, REFILL));
        mints(0, 0, BUDGET);
        vm.assertEq(minter.budget(1, 1), 7);
        vm.expectRevert(abi.encodeWithSelector(Minter.Minter_AboveBudget.selector, 8, 7));
        mints(1, 1, 8);
        mints(1, 1, 7);
        vm.assertEq(token.totalSupply(), token.CAP());
    }

    function test_budget_ofClosedEpochIsZero() public {
        mints(0, 1, 1);
        vm.assertEq(minter.budget(1, 2), 0);
        vm.assertEq(minter.budget(2, 2), BUDGET);
    }

    function test_mint_revertsIfNotSettlement() public {
        vm.expectRevert(abi.encodeWithSelector(Minter.Minter_NotSettlement.selector, address(this), CALLER));
        minter.mint(0, 0, 1);
    }

    function test_mint_revertsIfBackwards() public {
        vm.expectRevert(abi.encodeWithSelector(Minter.Minter_RangeBackwards.selector, 1, 0));
        mints(1, 0, 1);
    }

    function test_mint_revertsForClosedEpoch() public {
        mints(0, 2, 1);
        vm.expectRevert(abi.encodeWithSelector(Minter.Minter_AlreadyMinted.selector, 2, 3));
        mints(2, 3, 1);
        vm.expectRevert(abi.encodeWithSelector(Minter.Minter_AlreadyMinted.selector, 0, 3));
        mints(0, 0, 1);
    }

    function test_mint_revertsAboveBudget() public {
        vm.expectRevert(abi.encodeWithSelector(Minter.Minter_AboveBudget.selector, BUDGET + 1, BUDGET));
        mints(0, 0, BUDGET + 1);
        vm.expectRevert(abi.encodeWithSelector(Minter.Minter_AboveBudget.selector, type(uint256).max, BUDGET));
        mints(0, 0, type(uint256).max);
        vm.expectRevert(abi.encodeWithSelector(Minter.Minter_AboveBudget.selector, 1, 0));
        mints(2 * PERIOD, 2 * PERIOD, 1);
    }

    function test_D46_zeroAmountDoesNothing() public {
        mints(0, 2, BURST);
        uint256 before = minter.room();
        for (uint256 i = 1; i <= 10; ++i) {
            vm.warp(GENESIS + i);
            mints(5, 5, 0);
        }
        vm.assertEq(minter.room(), before + 10 * REFILL);
        vm.assertEq(minter.nextEpoch(), 3);
    }

    function test_D46_breakerHoldsBackABurst() public {
        mints(0, 2, BURST);
        vm.assertEq(minter.room(), 0);
        vm.expectRevert(abi.encodeWithSelector(Minter.Minter_BreakerOpen.selector, BUDGET, 0));
        mints(3, 3, BUDGET);
        vm.warp(GENESIS + EPOCH);
        mints(3, 3, BUDGET);
        vm.assertLe(minter.room(), uint256(REFILL) * EPOCH - BUDGET);
    }

    function testFuzz_D46_manySmallMintsAreBounded(uint256 seed) public {
        uint256 minted = 0;
        uint256 time = 0;
        for (uint32 epoch = 0; epoch < 2 * PERIOD; ++epoch) {
            seed = uint256(keccak256(abi.encode(seed)));
            time += seed % (EPOCH / 2);
            vm.warp(GENESIS + time);
            uint256 amount = 1 + (seed >> 32) % minter.budget(epoch, epoch);
            if (amount <= minter.room()) {
                mints(epoch, epoch, amount);
                minted += amount;
            }
            vm.assertLe(minted, BURST + REFILL * time);
            vm.assertLe(minter.room(), BURST);
        }
        vm.assertEq(token.totalSupply(), minted);
    }

    function test_mint_mintsAndCloses() public {
        vm.expectEmit(address(minter));
        emit Minter.Minted(0, 1, 5e18);
        mints(0, 1, 5e18);
        vm.assertEq(token.balanceOf(CALLER), 5e18);
        vm.assertEq(minter.nextEpoch(), 2);
        vm.assertEq(minter.room(), BURST - 5e18);
    }

    function test_D47_burningMakesRoomUnderTheCap() public {
        make(BUDGET + 7, Minter.Breaker(BURST, REFILL));
        mints(0, 0, BUDGET);
        vm.prank(CALLER);
        token.burn(BUDGET / 2);
        vm.assertEq(minter.minted(), BUDGET);
        vm.assertEq(minter.budget(1, 1), BUDGET / 2 + 7);
        mints(1, 1, BUDGET / 2 + 7);
        vm.assertEq(minter.budget(2, 2), 0);
    }

    function test_D47_aHolderOfTheCapLeavesNothing() public {
        address minterAt = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 1);
        address[] memory holders = new address[](1);
        uint256[] memory amounts = new uint256[](1);
        (holders[0], amounts[0]) = (address(this), CAP);
        token = new Token("Subak", "SBK", CAP, minterAt, holders, amounts);
        (bytes32[] memory pools, uint16[] memory bps) = onePool();
        deploysAs(minterAt, pools, bps);
        vm.assertEq(minter.budget(0, 0), 0);
        token.burn(5);
        vm.assertEq(minter.budget(0, 0), 5);
    }

    function deploysAs(address at, bytes32[] memory pools, uint16[] memory bps) internal {
        minter = new Minter(
            token, CALLER, AUTHORITY, GUARDIAN, REPLACE, schedule(), Minter.Breaker(BURST, REFILL), pools, bps
        );
        vm.assertEq(address(minter), at);
    }

    function pauses() internal {
        vm.prank(GUARDIAN);
        minter.pause();
    }

    function test_pause_onlyByTheGuardian() public {
        address[3] memory others = [address(this), AUTHORITY, CALLER];
        for (uint256 i = 0; i < 3; ++i) {
            vm.expectRevert(abi.encodeWithSelector(Minter.Minter_NotGuardian.selector, others[i], GUARDIAN));
            vm.prank(others[i]);
            minter.pause();
        }
    }

    function test_pause_holdsMintingForAWeek() public {
        uint64 until = GENESIS + 7 days;
        vm.expectEmit(address(minter));
        emit Minter.Paused(until);
        pauses();
        vm.warp(until - 1);
        vm.expectRevert(abi.encodeWithSelector(Minter.Minter_Paused.selector, until - 1, until));
        mints(0, 0, BUDGET);
        mints(0, 0, 0);
        vm.warp(until);
        mints(0, 0, BUDGET);
        vm.assertEq(token.balanceOf(CALLER), BUDGET);
    }

    function test_J87_pauseNotAgainWithinThirtyDays() public {
        pauses();
        uint256 earliest = GENESIS + 30 days;
        vm.warp(earliest - 1);
        vm.expectRevert(abi.encodeWithSelector(Minter.Minter_PausedTooOften.selector, earliest - 1, earliest));
        pauses();
        vm.warp(earliest);
        pauses();
        vm.assertEq(minter.pausedUntil(), earliest + 7 days);
    }

    function announces(address next) internal {
        vm.prank(AUTHORITY);
        minter.announce(next);
    }

    function test_announce_onlyByTheAuthority() public {
        vm.expectRevert(
            abi.encodeWithSelector(Succession.Succession_NotAuthority.selector, address(this), AUTHORITY)
        );
        minter.announce(address(this));
    }

    function test_D51_replaceNotBeforeItsTime() public {
        vm.expectRevert(Succession.Succession_NobodyAnnounced.selector);
        minter.replace();
        uint64 from = GENESIS + REPLACE;
        vm.expectEmit(address(minter));
        emit Succession.Announced(address(this), from);
        announces(address(this));
        vm.warp(from - 1);
        vm.expectRevert(abi.encodeWithSelector(Succession.Succession_NotYet.selector, from - 1, from));
        minter.replace();
        vm.assertEq(minter.settlement(), CALLER);
        mints(0, 0, 1);
        vm.warp(from);
        vm.expectEmit(address(minter));
        emit Succession.Replaced(address(this));
        minter.replace();
        vm.assertEq(minter.settlement(), address(this));
        vm.expectRevert(Succession.Succession_NobodyAnnounced.selector);
        minter.replace();
    }

    function test_D51_theOldOneMintsNothingAnyMore() public {
        announces(address(this));
        vm.warp(GENESIS + REPLACE);
        minter.replace();
        vm.expectRevert(abi.encodeWithSelector(Minter.Minter_NotSettlement.selector, CALLER, address(this)));
        mints(0, 0, 0);
        minter.mint(0, 0, 1);
    }

    function test_announce_anotherBeginsAnew() public {
        announces(address(1));
        vm.warp(GENESIS + REPLACE);
        announces(address(this));
        vm.expectRevert(
            abi.encodeWithSelector(
                Succession.Succession_NotYet.selector, block.timestamp, block.timestamp + REPLACE
            )
        );
        minter.replace();
        announces(address(0));
        vm.warp(block.timestamp + REPLACE);
        vm.expectRevert(Succession.Succession_NobodyAnnounced.selector);
        minter.replace();
    }

    function test_deploy_revertsIfReplacedTooSoon() public {
        (bytes32[] memory pools, uint16[] memory bps) = onePool();
        vm.expectRevert(abi.encodeWithSelector(Succession.Succession_TooShort.selector, 30 days - 1, 30 days));
        new Minter(
            token, CALLER, AUTHORITY, GUARDIAN, 30 days - 1, schedule(), Minter.Breaker(BURST, REFILL), pools, bps
        );
    }

    function moves(uint32 from, uint16 a, uint16 b) internal {
        (bytes32[] memory pools, uint16[] memory bps) = twoPools(a, b);
        vm.prank(AUTHORITY);
        minter.setWeights(from, pools, bps);
    }

    function test_setWeights_revertsIfNotAuthority() public {
        (bytes32[] memory pools, uint16[] memory bps) = onePool();
        vm.expectRevert(abi.encodeWithSelector(Minter.Minter_NotAuthority.selector, address(this), AUTHORITY));
        minter.setWeights(1, pools, bps);
    }

    function test_D48_runningEpochCannotChange() public {
        vm.warp(GENESIS + 3 * EPOCH);
        vm.expectRevert(abi.encodeWithSelector(Minter.Minter_TooLate.selector, 3, 4));
        moves(3, 9_000, 1_000);
        moves(4, 9_000, 1_000);
    }

    function test_D48_sameEpochCannotChangeTwice() public {
        moves(4, 8_000, 2_000);
        vm.expectRevert(abi.encodeWithSelector(Minter.Minter_TooLate.selector, 4, 5));
        moves(4, 6_000, 4_000);
        moves(5, 6_000, 4_000);
        vm.assertEq(minter.weightsFrom(), 5);
    }

    function test_setWeights_revertsIfStepTooLarge() public {
        vm.expectRevert(
            abi.encodeWithSelector(Minter.Minter_StepTooLarge.selector, bytes32("bootstrap"), 10_000, 7_999, 2_000)
        );
        moves(1, 7_999, 2_001);
    }

    function threePools(uint16 a, uint16 b, uint16 c) internal pure returns (bytes32[] memory pools, uint16[] memory bps) {
        pools = new bytes32[](3);
        bps = new uint16[](3);
        (pools[0], pools[1], pools[2]) = ("bootstrap", "verifiers", "storage");
        (bps[0], bps[1], bps[2]) = (a, b, c);
    }

    function test_setWeights_droppingIsAStep() public {
        moves(1, 8_000, 2_000);
        (bytes32[] memory pools, uint16[] memory bps) = threePools(6_500, 2_500, 1_000);
        vm.prank(AUTHORITY);
        minter.setWeights(2, pools, bps);
        (pools, bps) = twoPools(7_999, 2_001);
        pools[1] = "storage";
        vm.expectRevert(
            abi.encodeWithSelector(Minter.Minter_StepTooLarge.selector, bytes32("verifiers"), 2_500, 0, 2_000)
        );
        vm.prank(AUTHORITY);
        minter.setWeights(3, pools, bps);
    }

    function test_setWeights_addingIsAStep() public {
        moves(1, 8_000, 2_000);
        (bytes32[] memory pools, uint16[] memory bps) = threePools(6_999, 1_000, 2_001);
        vm.expectRevert(
            abi.encodeWithSelector(Minter.Minter_StepTooLarge.selector, bytes32("storage"), 0, 2_001, 2_000)
        );
        vm.prank(AUTHORITY);
        minter.setWeights(2, pools, bps);
    }

    function test_setWeights_emits() public {
        (bytes32[] memory pools, uint16[] memory bps) = twoPools(9_000, 1_000);
        vm.expectEmit(address(minter));
        emit Minter.WeightsSet(7, pools, bps);
        moves(7, 9_000, 1_000);
        (bytes32[] memory stored, uint16[] memory storedBps) = minter.weights();
        vm.assertEq(stored[1], pools[1]);
        vm.assertEq(storedBps[1], 1_000);
    }
}
