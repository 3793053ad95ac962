// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC721Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Channels} from "../src/Channels.sol";
import {Succession} from "../src/Succession.sol";
import {Coin} from "./support/Coin.sol";
import {FeeCoin} from "./support/FeeCoin.sol";
import {Market} from "./support/Market.sol";

contract ChannelsTest is Market {
    uint256 internal constant N = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
    address internal constant HOST = address(0x4057);

    function setUp() public override {
        super.setUp();
        vm.warp(GENESIS + EPOCH / 2);
    }

    function test_deploy_emitsFacts() public {
        address made = vm.computeCreateAddress(address(this), vm.getNonce(address(this)));
        vm.expectEmit(made);
        emit Channels.Configured(address(coin), false, CLOSE_DELAY);
        vm.expectEmit(made);
        emit Channels.ShareSet(0, SHARE_BPS);
        vm.expectEmit(made);
        emit Channels.RatioSet(3, 1);
        Channels fresh = new Channels(config());
        vm.assertEq(fresh.shareBps(), SHARE_BPS);
        vm.assertEq(fresh.redeemed(address(settlement)), 0);
        (uint128 stakeUnits, uint128 paymentUnits) = fresh.ratio();
        vm.assertEq(stakeUnits, 3);
        vm.assertEq(paymentUnits, 1);
    }

    function test_deploy_revertsOnBadConfig() public {
        Channels.Config memory c = config();
        c.closeDelaySeconds = 2 * EPOCH;
        vm.expectRevert(
            abi.encodeWithSelector(Channels.Channels_CloseDelayTooShort.selector, 2 * EPOCH, 2 * EPOCH)
        );
        new Channels(c);
        c = config();
        c.treasury = address(0);
        vm.expectRevert(Channels.Channels_NoTreasury.selector);
        new Channels(c);
        c.payment = token;
        new Channels(c);
        c = config();
        (c.stakeUnits, c.paymentUnits) = (0, 1);
        vm.expectRevert(abi.encodeWithSelector(Channels.Channels_RatioZero.selector, 0, 1));
        new Channels(c);
        (c.stakeUnits, c.paymentUnits) = (1, 0);
        vm.expectRevert(abi.encodeWithSelector(Channels.Channels_RatioZero.selector, 1, 0));
        new Channels(c);
    }

    function refusesShare(uint16 bps) internal {
        Channels.Config memory c = config();
        c.shareBps = bps;
        bytes memory why = abi.encodeWithSelector(Channels.Channels_ShareOutOfBounds.selector, bps, 100, 10_000);
        vm.expectRevert(why);
        new Channels(c);
        vm.expectRevert(why);
        vm.prank(AUTHORITY);
        channels.setShare(bps);
    }

    function test_share_isBoundedInBytecode() public {
        refusesShare(0);
        refusesShare(99);
        refusesShare(10_001);
        refusesShare(type(uint16).max);
        vm.startPrank(AUTHORITY);
        channels.setShare(100);
        channels.setShare(10_000);
        vm.stopPrank();
    }

    function test_deposit_byAnyone() public {
        coin.mint(HOST, 30);
        vm.startPrank(HOST);
        coin.approve(address(channels), 30);
        vm.expectEmit(address(channels));
        emit Channels.Deposited(CUSTOMER, HOST, 30);
        channels.deposit(CUSTOMER, 30);
        vm.stopPrank();
        vm.assertEq(free(CUSTOMER), 30);
        vm.assertEq(free(HOST), 0);
        vm.assertEq(coin.balanceOf(address(channels)), 30);
    }

    function test_deposit_refusesFeeOnTransfer() public {
        vm.etch(address(coin), type(FeeCoin).runtimeCode);
        coin.mint(address(this), 30);
        coin.approve(address(channels), 30);
        vm.expectRevert(abi.encodeWithSelector(Channels.Channels_NotAsAsked.selector, 29, 30));
        channels.deposit(CUSTOMER, 30);
    }

    function test_withdraw_upToWhatIsFree() public {
        funds(CUSTOMER, 30);
        vm.startPrank(CUSTOMER);
        vm.expectEmit(address(channels));
        emit Channels.Withdrawn(CUSTOMER, 20);
        channels.withdraw(20);
        vm.expectRevert(abi.encodeWithSelector(Channels.Channels_TooLittleFree.selector, 11, 10));
        channels.withdraw(11);
        channels.withdraw(10);
        vm.stopPrank();
        vm.assertEq(coin.balanceOf(CUSTOMER), 30);
        vm.expectRevert(abi.encodeWithSelector(Channels.Channels_TooLittleFree.selector, 1, 0));
        channels.withdraw(1);
    }

    function test_openLane_setsItsLimitAside() public {
        funds(CUSTOMER, 1_000);
        Channels.Lane memory l =
            Channels.Lane(CUSTOMER, vm.addr(SESSION), clerk(0), 600, uint40(block.timestamp) + LIFE, 0);
        vm.expectEmit(address(channels));
        emit Channels.LaneOpened(idOf(l), l.customer, l.key, l.clerk, l.limit, l.expiry, 0);
        lane(600);
        vm.assertEq(channels.laneId(l), idOf(l));
        vm.assertEq(free(CUSTOMER), 400);
        vm.assertEq(channels.locked(owners[0]), 1_800);
        (uint128 redeemed, uint40 closing, uint16 ratio, bool closed) = channels.laneState(idOf(l));
        vm.assertEq(redeemed + ratio, 0);
        vm.assertEq(closing, l.expiry + CLOSE_DELAY);
        vm.assertFalse(closed);
        (, uint64 lanes) = channels.channel(CUSTOMER);
        vm.assertEq(lanes, 1);
    }

    function test_openLane_refusesWhatCannotBeUsed() public {
        funds(CUSTOMER, 1_000);
        (address by, uint40 expiry) = (clerk(0), uint40(block.timestamp) + LIFE);
        vm.startPrank(CUSTOMER);
        vm.expectRevert(abi.encodeWithSelector(Channels.Channels_EmptyLane.selector, address(0), 1));
        channels.openLane(address(0), by, 1, expiry);
        vm.expectRevert(abi.encodeWithSelector(Channels.Channels_EmptyLane.selector, address(1), 0));
        channels.openLane(address(1), by, 0, expiry);
        vm.expectRevert(abi.encodeWithSelector(Channels.Channels_TooLittleFree.selector, 1_001, 1_000));
        channels.openLane(address(1), by, 1_001, expiry);
        vm.stopPrank();
    }

    function test_openLane_boundsItsLife() public {
        funds(CUSTOMER, 1_000);
        address by = clerk(0);
        uint40 last = uint40(block.timestamp + UNBONDING - CLOSE_DELAY - 3 days);
        uint40[3] memory bad = [uint40(block.timestamp), last + 1, type(uint40).max];
        for (uint256 i = 0; i < 3; ++i) {
            vm.expectRevert(
                abi.encodeWithSelector(Channels.Channels_ExpiryOutOfBounds.selector, bad[i], block.timestamp, last)
            );
            vm.prank(CUSTOMER);
            channels.openLane(address(1), by, 1, bad[i]);
        }
        vm.prank(CUSTOMER);
        channels.openLane(address(1), by, 1, last);
        vm.prank(owners[0]);
        stake.exit();
        (,, uint64 releaseAt) = stake.verifiers(owners[0]);
        vm.assertLe(last + CLOSE_DELAY + 3 days, releaseAt, "the stake outlives lane and proofs");
    }

    /// @dev Rounds up: 3 units of stake behind every payment unit, and never more than there is.
    function test_openLane_neverExceedsTheClerksStake() public {
        uint128 most = BOND / 3;
        funds(CUSTOMER, 2 * most);
        funds(HOST, 10);
        vm.prank(AUTHORITY);
        channels.setRatio(uint128(BOND), most);
        Channels.Lane memory first = lane(most - 1);
        uint256 held = channels.locked(owners[0]);
        uint256 exactly = uint256(most - 1) * BOND;
        vm.assertEq(held, (exactly + most - 1) / most);
        (address by, uint40 expiry) = (clerk(0), uint40(block.timestamp) + LIFE);
        vm.expectRevert(
            abi.encodeWithSelector(Channels.Channels_StakeTooSmall.selector, by, held + 7, BOND)
        );
        vm.prank(HOST);
        channels.openLane(address(1), by, 2, expiry);
        vm.prank(HOST);
        channels.openLane(address(1), clerk(1), 2, expiry);
        vm.warp(closesAt(first));
        channels.closeLane(first);
        vm.assertEq(channels.locked(owners[0]), 0);
        lane(most);
        vm.assertEq(channels.locked(owners[0]), BOND);
    }

    function refusesClerk(address by, uint256 needed, uint256 held) internal {
        uint40 expiry = uint40(block.timestamp) + LIFE;
        vm.expectRevert(abi.encodeWithSelector(Channels.Channels_StakeTooSmall.selector, by, needed, held));
        vm.prank(CUSTOMER);
        channels.openLane(address(1), by, 10, expiry);
    }

    function test_C43_replacedClerkHasNoSecondStake() public {
        funds(CUSTOMER, BOND);
        Channels.Lane memory old = lane(BOND / 3);
        address fresh = vm.addr(0xd44);
        vm.prank(owners[0]);
        stake.rotateSigner(fresh);
        refusesClerk(fresh, channels.locked(owners[0]) + 30, BOND);
        refusesClerk(old.clerk, channels.locked(owners[0]) + 30, 0);
        redeems(voucher(old, 1, 5));
        vm.warp(closesAt(old));
        channels.closeLane(old);
        vm.assertEq(channels.locked(owners[0]), 0);
    }

    function test_openLane_refusesStrangersAndLeavingClerks() public {
        funds(CUSTOMER, 1_000);
        refusesClerk(HOST, 30, 0);
        refusesClerk(address(0), 30, 0);
        vm.prank(owners[0]);
        stake.exit();
        refusesClerk(clerk(0), 30, 0);
    }

    function test_revokeLane_startsTheDelay() public {
        funds(CUSTOMER, 100);
        Channels.Lane memory l = lane(100);
        uint40 closing = uint40(block.timestamp + CLOSE_DELAY);
        vm.expectRevert(abi.encodeWithSelector(Channels.Channels_NotCustomer.selector, address(this), CUSTOMER));
        channels.revokeLane(l);
        vm.startPrank(CUSTOMER);
        vm.expectEmit(address(channels));
        emit Channels.LaneRevoked(idOf(l), closing);
        channels.revokeLane(l);
        vm.assertEq(closesAt(l), closing);
        vm.warp(block.timestamp + 1 days);
        bytes32 id = idOf(l);
        vm.expectRevert(abi.encodeWithSelector(Channels.Channels_ClosesAnyway.selector, id, closing));
        channels.revokeLane(l);
        l.number = 1;
        id = idOf(l);
        vm.expectRevert(abi.encodeWithSelector(Channels.Channels_UnknownLane.selector, id));
        channels.revokeLane(l);
        vm.stopPrank();
    }

    function test_revokeLane_neverLengthensALife() public {
        funds(CUSTOMER, 100);
        Channels.Lane memory l = lane(100);
        uint40 closing = closesAt(l);
        vm.warp(l.expiry);
        bytes32 id = idOf(l);
        vm.expectRevert(abi.encodeWithSelector(Channels.Channels_ClosesAnyway.selector, id, closing));
        vm.prank(CUSTOMER);
        channels.revokeLane(l);
    }

    function test_F60_topUpByOthersChangesNoLane() public {
        funds(CUSTOMER, 100);
        Channels.Lane memory l = lane(100);
        vm.prank(CUSTOMER);
        channels.revokeLane(l);
        uint40 closing = closesAt(l);
        funds(CUSTOMER, 0);
        funds(CUSTOMER, 1_000);
        vm.assertEq(closesAt(l), closing);
        vm.warp(closing);
        channels.closeLane(l);
        vm.prank(CUSTOMER);
        channels.withdraw(1_100);
    }

    function test_closeLane_givesBackWhatIsUnspent() public {
        funds(CUSTOMER, 100);
        Channels.Lane memory l = lane(80);
        redeems(voucher(l, 1, 30));
        (bytes32 id, uint40 closing) = (idOf(l), closesAt(l));
        vm.warp(closing - 1);
        vm.expectRevert(abi.encodeWithSelector(Channels.Channels_NotClosable.selector, id, closing, false));
        channels.closeLane(l);
        vm.warp(closing);
        vm.expectEmit(address(channels));
        emit Channels.LaneClosed(id, 50);
        channels.closeLane(l);
        vm.assertEq(free(CUSTOMER), 70);
        vm.expectRevert(abi.encodeWithSelector(Channels.Channels_NotClosable.selector, id, closing, true));
        channels.closeLane(l);
        l.limit = 81;
        id = idOf(l);
        vm.expectRevert(abi.encodeWithSelector(Channels.Channels_UnknownLane.selector, id));
        channels.closeLane(l);
    }

    function test_unspentDepositsComeBackWithEveryVerifierGone() public {
        funds(CUSTOMER, 100);
        Channels.Lane memory l = lane(80);
        redeems(voucher(l, 1, 30));
        vm.prank(CUSTOMER);
        channels.revokeLane(l);
        for (uint256 i = 0; i < 3; ++i) {
            vm.prank(owners[i]);
            stake.exit();
        }
        vm.warp(block.timestamp + 40 days);
        for (uint256 i = 0; i < 3; ++i) {
            vm.prank(owners[i]);
            stake.withdraw();
        }
        channels.closeLane(l);
        vm.prank(CUSTOMER);
        channels.withdraw(70);
        vm.assertEq(coin.balanceOf(CUSTOMER), 70);
        vm.assertEq(coin.balanceOf(address(channels)), 0);
    }

    function test_redeemMany_paysSettlementAndTreasury() public {
        funds(CUSTOMER, 1_000);
        Channels.Lane memory l = lane(1_000);
        Voucher memory v = voucher(l, 7, 101);
        vm.expectEmit(address(channels));
        emit Channels.Redeemed(idOf(l), 7, 101, v.lines, 95);
        vm.prank(address(0xBEEF));
        redeems(v);
        vm.assertEq(coin.balanceOf(address(settlement)), 95);
        vm.assertEq(coin.balanceOf(TREASURY), 6, "5 % of 101, rounded up");
        vm.assertEq(channels.redeemed(address(settlement)), 95);
        v = voucher(l, 8, 201);
        vm.expectEmit(address(channels));
        emit Channels.Redeemed(idOf(l), 8, 201, v.lines, 95);
        redeems(v);
        vm.assertEq(channels.redeemed(address(settlement)), 190);
        vm.assertEq(spent(l), 201);
        vm.assertEq(coin.balanceOf(address(channels)), 1_000 - 201);
    }

    function test_D51_replacedSettlementKeepsWhatItGot() public {
        funds(CUSTOMER, 10_000);
        redeems(voucher(lane(1_000), 7, 100));
        vm.prank(AUTHORITY);
        channels.announce(address(0x5E2));
        vm.warp(block.timestamp + REPLACE);
        channels.replace();
        vm.assertEq(channels.settlement(), address(0x5E2));
        vm.assertEq(channels.redeemed(address(settlement)), 95);
        vm.assertEq(channels.redeemed(address(0x5E2)), 0);
        redeems(voucher(lane(500), 1, 200));
        vm.assertEq(channels.redeemed(address(settlement)), 95);
        vm.assertEq(channels.redeemed(address(0x5E2)), 190);
        vm.assertEq(coin.balanceOf(address(settlement)), 95);
        vm.assertEq(coin.balanceOf(address(0x5E2)), 190);
        // And back again: its count goes on.
        vm.prank(AUTHORITY);
        channels.announce(address(settlement));
        vm.warp(block.timestamp + REPLACE);
        channels.replace();
        redeems(voucher(lane(300), 1, 100));
        vm.assertEq(channels.redeemed(address(settlement)), 190);
        vm.assertEq(channels.redeemed(address(0x5E2)), 190);
    }

    function test_D51_onlyTheAuthorityAnnounces() public {
        vm.expectRevert(
            abi.encodeWithSelector(Succession.Succession_NotAuthority.selector, address(this), AUTHORITY)
        );
        channels.announce(address(this));
        vm.expectRevert(Succession.Succession_NobodyAnnounced.selector);
        channels.replace();
    }

    function test_F57_replayAndOlderVouchersArePassedOver() public {
        funds(CUSTOMER, 1_000);
        Channels.Lane memory l = lane(1_000);
        Voucher memory old = voucher(l, 1, 40);
        Voucher memory v = voucher(l, 2, 100);
        redeems(v);
        uint256 had = coin.balanceOf(address(settlement));
        redeems(v);
        redeems(old);
        redeems(voucher(l, 3, 100));
        vm.assertEq(coin.balanceOf(address(settlement)), had);
        vm.assertEq(spent(l), 100);
    }

    /// @dev A clerk and a customer cannot shut out a voucher that a host holds by redeeming a worthless one with a huge number.
    function test_F57_whatGrowsCountsWhateverItsNumber() public {
        funds(CUSTOMER, 1_000);
        Channels.Lane memory l = lane(1_000);
        Voucher memory held = voucher(l, 5, 900);
        redeems(voucher(l, type(uint64).max, 1));
        redeems(held);
        vm.assertEq(spent(l), 900);
    }

    function test_F57_aboveTheLimitReverts() public {
        funds(CUSTOMER, 1_000);
        Channels.Lane memory l = lane(100);
        uint128[3] memory totals = [uint128(101), uint128(type(uint96).max) + 1, type(uint128).max];
        for (uint256 i = 0; i < 3; ++i) {
            Batch memory b = batchOf(listOf(voucher(l, 1, 100), voucher(l, 2, totals[i])), keys[0]);
            vm.expectRevert(
                abi.encodeWithSelector(Channels.Channels_AboveLimitAt.selector, 1, totals[i], 100)
            );
            sends(b);
        }
        redeems(voucher(l, 1, 100));
    }

    function refuses(Batch memory b, bytes memory why) internal {
        vm.expectRevert(why);
        sends(b);
    }

    function test_F58_otherSignersRevert() public {
        funds(CUSTOMER, 1_000);
        Channels.Lane memory l = lane(100);
        Voucher memory v = voucher(l, 1, 50);
        v.session = 0xbad;
        refuses(
            batchOf(listOf(voucher(l, 1, 10), v), keys[0]),
            abi.encodeWithSelector(Channels.Channels_BadSignatureAt.selector, 1, vm.addr(0xbad), l.key)
        );
        Batch memory b = batchOf(listOf(voucher(l, 1, 50)), keys[0]);
        b.rs[0] = 0;
        refuses(b, abi.encodeWithSelector(Channels.Channels_BadSignatureAt.selector, 0, address(0), l.key));
        refuses(
            batchOf(listOf(voucher(l, 1, 50)), keys[1]),
            abi.encodeWithSelector(Channels.Channels_BadCountersignature.selector, clerk(1), clerk(0))
        );
        b = batchOf(listOf(voucher(l, 1, 50)), keys[0]);
        b.clerkR = 0;
        refuses(b, abi.encodeWithSelector(Channels.Channels_BadCountersignature.selector, address(0), clerk(0)));
    }

    function test_F58_malleatedTwinsRevert() public {
        funds(CUSTOMER, 1_000);
        Channels.Lane memory l = lane(100);
        Batch memory b = batchOf(listOf(voucher(l, 1, 50)), keys[0]);
        (bytes32 session, bytes32 byClerk) = (b.vss[0], b.clerkVs);
        b.vss[0] = bytes32(N / 2 + 1);
        refuses(b, abi.encodeWithSelector(Channels.Channels_BadSignatureAt.selector, 0, address(0), l.key));
        (b.vss[0], b.clerkVs) = (twin(session), byClerk);
        (bool done,) = address(channels).call(callOf(b));
        vm.assertFalse(done);
        (b.vss[0], b.clerkVs) = (session, twin(byClerk));
        (done,) = address(channels).call(callOf(b));
        vm.assertFalse(done);
        b.clerkVs = byClerk;
        (done,) = address(channels).call(callOf(b));
        vm.assertTrue(done);
    }

    /// @dev n - s with the other parity.
    function twin(bytes32 vs) internal pure returns (bytes32) {
        uint256 s = N - (uint256(vs) & (type(uint256).max >> 1));
        return bytes32(s ^ (uint256(vs) & (1 << 255)) ^ (1 << 255));
    }

    function callOf(Batch memory b) internal view returns (bytes memory) {
        return abi.encodeCall(
            channels.redeemMany, (b.lanes, b.seqs, b.totals, b.lines, b.rs, b.vss, b.clerkR, b.clerkVs)
        );
    }

    function test_F59_redeemUntilTheLastSecond() public {
        funds(CUSTOMER, 100);
        Channels.Lane memory l = lane(100);
        vm.startPrank(CUSTOMER);
        channels.revokeLane(l);
        vm.expectRevert(abi.encodeWithSelector(Channels.Channels_TooLittleFree.selector, 1, 0));
        channels.withdraw(1);
        vm.stopPrank();
        vm.warp(closesAt(l) - 1);
        redeems(voucher(l, 1, 60));
        vm.assertEq(spent(l), 60);
        vm.warp(closesAt(l));
        redeems(voucher(l, 2, 100));
        vm.assertEq(spent(l), 60);
        channels.closeLane(l);
        redeems(voucher(l, 2, 100));
        vm.assertEq(free(CUSTOMER), 40);
    }

    function test_F61_everyLaneHasItsOwnId() public {
        funds(CUSTOMER, 200);
        Channels.Lane memory first = lane(100);
        Channels.Lane memory second = lane(100);
        vm.assertEq(second.number, first.number + 1);
        vm.assertTrue(idOf(first) != idOf(second));
        redeems(voucher(first, 1, 60));
        vm.assertEq(spent(second), 0);
        Batch memory b = batchOf(listOf(voucher(first, 2, 70)), keys[0]);
        b.lanes[0] = second;
        vm.expectRevert();
        sends(b);
    }

    function test_F61_unknownLanesRevert() public {
        funds(CUSTOMER, 100);
        Channels.Lane memory l = lane(100);
        for (uint256 i = 0; i < 6; ++i) {
            Channels.Lane memory other =
                Channels.Lane(l.customer, l.key, l.clerk, l.limit, l.expiry, l.number);
            if (i == 0) other.customer = HOST;
            if (i == 1) other.key = HOST;
            if (i == 2) other.clerk = clerk(0);
            if (i == 3) other.limit += 1;
            if (i == 4) other.expiry += 1;
            if (i == 5) other.number += 1;
            if (i == 2) continue; // another clerk is refused as such
            refuses(
                batchOf(listOf(voucher(l, 1, 10), voucher(other, 1, 10)), keys[0]),
                abi.encodeWithSelector(Channels.Channels_UnknownLaneAt.selector, 1, idOf(other))
            );
        }
        l.clerk = HOST;
        refuses(
            batchOf(listOf(voucher(l, 1, 10)), keys[0]),
            abi.encodeWithSelector(Channels.Channels_UnknownLaneAt.selector, 0, idOf(l))
        );
    }

    function test_redeemMany_takesOneClerk() public {
        funds(CUSTOMER, 200);
        Channels.Lane memory ours = lane(100);
        Channels.Lane memory theirs = lane(CUSTOMER, SESSION, clerk(1), 100);
        refuses(
            batchOf(listOf(voucher(ours, 1, 10), voucher(theirs, 1, 10)), keys[0]),
            abi.encodeWithSelector(Channels.Channels_OtherClerkAt.selector, 1, clerk(1), clerk(0))
        );
    }

    function test_redeemMany_takesTheListAsItWasCountersigned() public {
        funds(CUSTOMER, 200);
        Channels.Lane memory l = lane(100);
        Channels.Lane memory m = lane(100);
        Batch memory all = batchOf(listOf(voucher(l, 1, 10), voucher(m, 1, 10)), keys[0]);
        Batch memory part = batchOf(listOf(voucher(l, 1, 10)), keys[0]);
        (part.clerkR, part.clerkVs) = (all.clerkR, all.clerkVs);
        vm.expectRevert();
        sends(part);
        Batch memory swapped = batchOf(listOf(voucher(m, 1, 10), voucher(l, 1, 10)), keys[0]);
        (swapped.clerkR, swapped.clerkVs) = (all.clerkR, all.clerkVs);
        vm.expectRevert();
        sends(swapped);
        sends(all);
        vm.assertEq(spent(l) + spent(m), 20);
    }

    function test_F62_oneLaneTwiceInABatch() public {
        funds(CUSTOMER, 100);
        Channels.Lane memory l = lane(100);
        sends(batchOf(listOf(voucher(l, 1, 30), voucher(l, 1, 30)), keys[0]));
        vm.assertEq(spent(l), 30);
        sends(batchOf(listOf(voucher(l, 2, 40), voucher(l, 3, 90)), keys[0]));
        vm.assertEq(spent(l), 90);
        vm.assertEq(coin.balanceOf(address(channels)), 10);
    }

    function test_F62_aBatchPaysWhatStillGrows() public {
        funds(CUSTOMER, 400);
        Voucher[] memory vs = new Voucher[](4);
        for (uint256 i = 0; i < 4; ++i) {
            vs[i] = voucher(lane(100), 1, 50);
        }
        redeems(vs[1]);
        vm.prank(CUSTOMER);
        channels.revokeLane(vs[2].lane);
        vm.warp(closesAt(vs[2].lane));
        channels.closeLane(vs[2].lane);
        sends(batchOf(vs, keys[0]));
        vm.assertEq(spent(vs[0].lane) + spent(vs[3].lane), 100);
        vm.assertEq(spent(vs[1].lane), 50);
        vm.assertEq(spent(vs[2].lane), 0);
        vm.assertEq(channels.redeemed(address(settlement)), 3 * 47);
    }

    function test_F63_oneWhoIsEveryParty() public {
        address all = clerk(0);
        funds(all, 100);
        Channels.Lane memory l = lane(all, keys[0], all, 100);
        Voucher memory v = voucher(l, 1, 100);
        v.session = keys[0];
        redeems(v);
        vm.assertEq(coin.balanceOf(TREASURY), 5, "to be one's own customer costs");
        vm.assertEq(coin.balanceOf(address(settlement)), 95);
    }

    function test_F64_otherChainOrContractReverts() public {
        funds(CUSTOMER, 100);
        Channels.Lane memory l = lane(100);
        Batch memory here = batchOf(listOf(voucher(l, 1, 10)), keys[0]);
        vm.chainId(4_242);
        Batch memory forked = batchOf(listOf(voucher(l, 1, 10)), keys[0]);
        (bool done,) = address(channels).call(callOf(here));
        vm.assertFalse(done);
        vm.chainId(31_337);
        (done,) = address(channels).call(callOf(forked));
        vm.assertFalse(done);
        Channels ours = channels;
        channels = new Channels(config());
        Batch memory theirs = batchOf(listOf(voucher(l, 1, 10)), keys[0]);
        (done,) = address(ours).call(callOf(theirs));
        vm.assertFalse(done);
        (done,) = address(ours).call(callOf(here));
        vm.assertTrue(done);
    }

    function test_redeemMany_revertsOnOddLists() public {
        funds(CUSTOMER, 100);
        Batch memory b = batchOf(listOf(voucher(lane(100), 1, 10)), keys[0]);
        b.vss = new bytes32[](2);
        refuses(b, abi.encodeWithSelector(Channels.Channels_LengthsDiffer.selector, 1, 1, 1, 1, 1, 2));
        b.vss = new bytes32[](1);
        b.seqs = new uint64[](0);
        refuses(b, abi.encodeWithSelector(Channels.Channels_LengthsDiffer.selector, 1, 0, 1, 1, 1, 1));
        Batch memory none;
        refuses(none, abi.encodeWithSelector(Channels.Channels_LengthsDiffer.selector, 0, 0, 0, 0, 0, 0));
    }

    function test_K90_dirtyUpperBitsRevert() public {
        funds(CUSTOMER, 100);
        bytes memory call = callOf(batchOf(listOf(voucher(lane(100), 1, 10)), keys[0]));
        uint256 customerAt = 4 + 8 * 32 + 32;
        call[customerAt] = 0x01;
        (bool done,) = address(channels).call(call);
        vm.assertFalse(done);
        call[customerAt] = 0;
        call[customerAt + 4 * 32] = 0x01; // its expiry
        (done,) = address(channels).call(call);
        vm.assertFalse(done);
        call[customerAt + 4 * 32] = 0;
        (done,) = address(channels).call(call);
        vm.assertTrue(done);
    }

    function test_K90_refusedPaymentRedeemsNothing() public {
        funds(CUSTOMER, 100);
        Channels.Lane memory l = lane(100);
        coin.freeze(TREASURY);
        refuses(
            batchOf(listOf(voucher(l, 1, 10)), keys[0]), abi.encodeWithSelector(Coin.Coin_Frozen.selector, TREASURY)
        );
        vm.assertEq(spent(l), 0);
        vm.assertEq(channels.redeemed(address(settlement)), 0);
        vm.warp(closesAt(l));
        channels.closeLane(l);
        vm.prank(CUSTOMER);
        channels.withdraw(100);
    }

    function sets(uint16 bps) internal {
        vm.prank(AUTHORITY);
        channels.setShare(bps);
    }

    function test_setShare_actsFromTheNextEpoch() public {
        vm.expectRevert(abi.encodeWithSelector(Channels.Channels_NotAuthority.selector, address(this), AUTHORITY));
        channels.setShare(1_000);
        vm.warp(GENESIS + 3 * EPOCH + 5);
        vm.expectEmit(address(channels));
        emit Channels.ShareSet(4, 1_000);
        sets(1_000);
        vm.assertEq(channels.shareBps(), SHARE_BPS);
        sets(2_000);
        vm.assertEq(channels.shareBps(), SHARE_BPS);
        vm.warp(GENESIS + 4 * EPOCH - 1);
        vm.assertEq(channels.shareBps(), SHARE_BPS);
        vm.warp(GENESIS + 4 * EPOCH);
        vm.assertEq(channels.shareBps(), 2_000);
        sets(300);
        vm.assertEq(channels.shareBps(), 2_000);
        vm.warp(GENESIS + 50 * EPOCH);
        vm.assertEq(channels.shareBps(), 300);
    }

    function test_setRatio_actsOnLaterLanes() public {
        vm.expectRevert(abi.encodeWithSelector(Channels.Channels_NotAuthority.selector, address(this), AUTHORITY));
        channels.setRatio(1, 1);
        funds(CUSTOMER, 100);
        Channels.Lane memory old = lane(10);
        vm.startPrank(AUTHORITY);
        vm.expectRevert(abi.encodeWithSelector(Channels.Channels_RatioZero.selector, 0, 1));
        channels.setRatio(0, 1);
        vm.expectRevert(abi.encodeWithSelector(Channels.Channels_RatioStep.selector, 61, 10, 3, 1));
        channels.setRatio(61, 10);
        vm.expectRevert(abi.encodeWithSelector(Channels.Channels_RatioStep.selector, 149, 100, 3, 1));
        channels.setRatio(149, 100);
        vm.expectEmit(address(channels));
        emit Channels.RatioSet(7, 2);
        channels.setRatio(7, 2);
        vm.stopPrank();
        vm.assertEq(channels.locked(owners[0]), 30);
        Channels.Lane memory l = lane(11);
        vm.assertEq(channels.locked(owners[0]), 30 + 39, "11 * 7 / 2, rounded up");
        vm.warp(closesAt(l));
        channels.closeLane(old);
        vm.assertEq(channels.locked(owners[0]), 39);
        channels.closeLane(l);
        vm.assertEq(channels.locked(owners[0]), 0);
    }

    function testFuzz_shareIsRoundedUp(uint128 total, uint16 bps) public {
        total = uint128(bound(total, 1, BOND / 3));
        bps = uint16(bound(bps, 100, 10_000));
        sets(bps);
        vm.warp(block.timestamp + EPOCH);
        funds(CUSTOMER, total);
        redeems(voucher(lane(total), 1, total));
        uint256 share = coin.balanceOf(TREASURY);
        vm.assertLe(uint256(total) * bps, share * 10_000);
        vm.assertLe(share * 10_000, uint256(total) * bps + 9_999);
        vm.assertEq(share + channels.redeemed(address(settlement)), total);
        vm.assertEq(coin.balanceOf(address(settlement)), channels.redeemed(address(settlement)));
    }

    /// @dev A voucher in small steps pays the network no less than in one.
    function testFuzz_smallStepsNeverSaveTheShare(uint128[6] memory steps) public {
        funds(CUSTOMER, 60_000);
        Channels.Lane memory l = lane(60_000);
        uint128 total = 0;
        for (uint64 i = 0; i < 6; ++i) {
            total += uint128(bound(steps[i], 1, 10_000));
            redeems(voucher(l, i, total));
        }
        vm.assertLe((uint256(total) * SHARE_BPS + 9_999) / 10_000, coin.balanceOf(TREASURY));
        vm.assertEq(coin.balanceOf(TREASURY) + channels.redeemed(address(settlement)), total);
    }

    /// @dev Two session keys, ten hosts, any vouchers in any order, the first lane revoked in the middle and closed.
    function testFuzz_aDepositOf100NeverPays101(uint256[14] memory seeds) public {
        funds(CUSTOMER, 100);
        Channels.Lane[2] memory l = [lane(CUSTOMER, SESSION, clerk(0), 60), lane(CUSTOMER, 0x5e56, clerk(0), 40)];
        for (uint256 i = 0; i < 14; ++i) {
            uint256 which = seeds[i] % 2;
            Voucher memory v = voucher(l[which], uint64(i), uint128((seeds[i] >> 8) % 120));
            (v.session, v.lines) = (SESSION + which, linesHash(lines(seeds[i] % 10, v.total)));
            Batch memory b = batchOf(listOf(v), keys[0]);
            (bool done,) = address(channels).call(callOf(b));
            vm.assertTrue(done == (v.total <= l[which].limit || block.timestamp >= closesAt(l[which])));
            if (i == 6) {
                vm.prank(CUSTOMER);
                channels.revokeLane(l[0]);
            }
            if (i == 10) {
                vm.warp(closesAt(l[0]));
                channels.closeLane(l[0]);
            }
        }
        uint256 paid = coin.balanceOf(TREASURY) + coin.balanceOf(address(settlement));
        vm.assertLe(paid, 100);
        vm.assertEq(paid, spent(l[0]) + spent(l[1]));
        vm.warp(closesAt(l[1]));
        channels.closeLane(l[1]);
        vm.assertEq(free(CUSTOMER), 100 - paid);
        vm.assertEq(coin.balanceOf(address(channels)), 100 - paid);
    }
}

/// @dev What a clerk loses that contradicts itself, and who gets it.
contract ClerksTest is Market {
    address internal constant HOST = address(0x4057);
    uint128 internal constant LIMIT = 1_000e6;
    uint256 internal constant BEHIND = 3 * uint256(LIMIT);

    /// @dev Assets of HOST and of somebody else.
    uint256 internal a;
    uint256 internal b;
    Channels.Lane internal l;

    function setUp() public override {
        super.setUp();
        a = uint256(assets.registerSite(HOST, "a", 0));
        b = uint256(assets.registerSite(address(0x4058), "b", 0));
        vm.warp(GENESIS + EPOCH / 2);
        funds(CUSTOMER, 2 * LIMIT);
        l = lane(LIMIT);
    }

    function by(uint64 seq, Channels.Line[] memory all) internal view returns (Channels.Countersigned memory) {
        return countersigned(l, seq, all, keys[0]);
    }

    function held(uint256 i) internal view returns (uint256 amount) {
        (amount,,) = stake.verifiers(owners[i]);
    }

    function left() internal view returns (uint256 amount) {
        (, amount,) = channels.slashes(idOf(l));
    }

    function slashes(Channels.Countersigned memory earlier, Channels.Countersigned memory later, uint256 asset) internal {
        uint256 supply = token.totalSupply();
        uint256 mine = token.balanceOf(address(this));
        vm.expectEmit(address(channels));
        emit Channels.ClerkSlashed(idOf(l), l.clerk, BEHIND);
        channels.slashClerk(l, earlier, later, bytes32(asset));
        vm.assertEq(held(0), BOND - BEHIND);
        vm.assertEq(left(), BEHIND / 2);
        vm.assertEq(token.balanceOf(address(channels)), BEHIND / 2);
        vm.assertEq(token.totalSupply(), supply - BEHIND / 2);
        vm.assertEq(token.balanceOf(address(this)), mine, "who reports earns nothing");
    }

    function refuses(
        Channels.Countersigned memory earlier,
        Channels.Countersigned memory later,
        uint256 asset,
        bytes memory why
    ) internal {
        vm.expectRevert(why);
        channels.slashClerk(l, earlier, later, bytes32(asset));
        vm.assertEq(held(0), BOND);
    }

    function none(uint64 earlier, uint64 later) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(Channels.Channels_NoContradiction.selector, earlier, later);
    }

    function test_slashClerk_twoVouchersOfOneNumber() public {
        slashes(by(4, lines(a, 10)), by(4, lines(b, 10)), 0);
    }

    function test_slashClerk_laterTotalFalls() public {
        Channels.Countersigned memory later = by(5, lines(a, 10));
        later.total = 9; // beside lines that do not fall
        signs(l, later, keys[0]);
        slashes(by(4, lines(a, 10)), later, 0);
    }

    function test_slashClerk_lineFalls() public {
        slashes(by(4, lines(a, 10, b, 10)), by(9, lines(a, 9, b, 50)), a);
    }

    function test_slashClerk_lineVanishes() public {
        slashes(by(4, lines(a, 10, b, 10)), by(9, lines(b, 50)), a);
    }

    function test_slashClerk_listsMayDiffer() public {
        Channels.Countersigned memory earlier = by(4, lines(a, 10));
        bytes32[] memory list = new bytes32[](3);
        (list[0], list[1], list[2]) = ("other", earlier.list[0], "another");
        earlier.list = list;
        (earlier.r, earlier.vs) = compact(keys[0], digestOf(listHash(list)));
        slashes(earlier, by(4, lines(b, 10)), 0);
    }

    /// @dev Nodes pass on transactions up to 128 KiB; chains take 2^24 gas in one (EIP-7825).
    function test_slashClerk_fitsInATransaction() public {
        Channels.Line[] memory many = new Channels.Line[](960);
        for (uint256 i = 0; i < 960; ++i) {
            many[i] = line(uint256(keccak256(abi.encode(i))), 1_000_000);
        }
        many[959].asset = bytes32(a);
        Channels.Countersigned memory earlier = by(4, many);
        many[959].money -= 1;
        Channels.Countersigned memory later = by(5, many);
        earlier.lines = abi.decode(abi.encode(many), (Channels.Line[]));
        earlier.lines[959].money += 1;
        bytes memory call = abi.encodeCall(channels.slashClerk, (l, earlier, later, bytes32(a)));
        vm.assertLe(call.length, 128 * 1024 - 512);
        uint256 before = gasleft();
        (bool done,) = address(channels).call(call);
        vm.assertTrue(done);
        vm.assertLe(before - gasleft() + 21_000 + 40 * call.length, 2 ** 24, "even if no byte were zero");
    }

    function test_slashClerk_needsAContradiction() public {
        Channels.Countersigned memory v = by(4, lines(a, 10, b, 10));
        refuses(v, v, a, none(4, 4));
        refuses(v, by(5, lines(a, 10, b, 11)), a, none(4, 5));
        refuses(v, by(5, lines(a, 10, b, 10)), b, none(4, 5));
        refuses(v, by(5, lines(a, 9, b, 50)), b, none(4, 5));
        refuses(by(5, lines(a, 9, b, 50)), v, a, none(5, 4));
    }

    function testFuzz_honestClerksAreNeverSlashed(uint64[2] memory seqs, uint64[4] memory money, bool swapped) public {
        vm.assume(seqs[0] < seqs[1]);
        Channels.Countersigned memory earlier = by(seqs[0], lines(a, money[0], b, money[1]));
        Channels.Countersigned memory later =
            by(seqs[1], lines(a, uint128(money[0]) + money[2], b, uint128(money[1]) + money[3]));
        if (swapped) (earlier, later) = (later, earlier);
        bytes memory why = none(earlier.seq, later.seq);
        refuses(earlier, later, a, why);
        refuses(earlier, later, b, why);
        refuses(earlier, later, 0, why);
        refuses(later, later, a, none(later.seq, later.seq));
    }

    function test_slashClerk_needsTheClerksSignature() public {
        Channels.Countersigned memory v = by(4, lines(a, 10));
        bytes4 why = Channels.Channels_BadCountersignature.selector;
        refuses(v, countersigned(l, 4, lines(b, 10), keys[1]), 0, abi.encodeWithSelector(why, clerk(1), clerk(0)));
        Channels.Countersigned memory odd = by(4, lines(b, 10));
        odd.r = 0;
        refuses(odd, v, 0, abi.encodeWithSelector(why, address(0), clerk(0)));
    }

    function test_slashClerk_needsTheVoucherInTheList() public {
        Channels.Countersigned memory v = by(4, lines(a, 10));
        Channels.Countersigned memory odd = by(4, lines(b, 10));
        odd.lines[0].money = 11;
        bytes32 hash = structHash(Voucher(l, 4, 10, linesHash(odd.lines), 0));
        refuses(v, odd, 0, abi.encodeWithSelector(Channels.Channels_NotCountersigned.selector, hash));
        Channels.Lane memory other = lane(LIMIT);
        odd = countersigned(other, 4, lines(b, 10), keys[0]);
        hash = structHash(Voucher(l, 4, 10, linesHash(odd.lines), 0));
        refuses(v, odd, 0, abi.encodeWithSelector(Channels.Channels_NotCountersigned.selector, hash));
    }

    function test_slashClerk_needsALane() public {
        l.number = 9;
        refuses(
            by(4, lines(a, 10)),
            by(4, lines(b, 10)),
            0,
            abi.encodeWithSelector(Channels.Channels_UnknownLane.selector, idOf(l))
        );
    }

    function test_C36_exitBeforeTheProof() public {
        vm.prank(owners[0]);
        stake.exit();
        (,, uint64 releaseAt) = stake.verifiers(owners[0]);
        vm.warp(closesAt(l));
        channels.closeLane(l);
        vm.assertLe(block.timestamp + channels.PROOF_SECONDS(), releaseAt);
        vm.warp(releaseAt - 1);
        slashes(by(4, lines(a, 10)), by(4, lines(b, 10)), 0);
    }

    function test_C36_withdrawBeforeTheProof() public {
        vm.prank(owners[0]);
        stake.exit();
        (,, uint64 releaseAt) = stake.verifiers(owners[0]);
        vm.warp(releaseAt);
        vm.prank(owners[0]);
        stake.withdraw();
        vm.expectRevert(abi.encodeWithSelector(Channels.Channels_NothingToSlash.selector, idOf(l), 0));
        channels.slashClerk(l, by(4, lines(a, 10)), by(4, lines(b, 10)), 0);
    }

    function test_C37_oneLaneIsSlashedOnce() public {
        Channels.Countersigned memory v = by(4, lines(a, 10));
        Channels.Countersigned memory w = by(4, lines(b, 10));
        slashes(v, w, 0);
        bytes memory why = abi.encodeWithSelector(Channels.Channels_NothingToSlash.selector, idOf(l), BEHIND);
        vm.expectRevert(why);
        channels.slashClerk(l, v, w, 0);
        vm.expectRevert(why);
        channels.slashClerk(l, w, v, 0);
        Channels.Countersigned memory other = by(7, lines(a, 1));
        vm.expectRevert(why);
        channels.slashClerk(l, v, other, bytes32(a));
        vm.assertEq(held(0), BOND - BEHIND);
    }

    function test_C42_lanesAreSlashedInAnyOrder() public {
        Channels.Lane memory later = lane(LIMIT);
        channels.slashClerk(
            later, countersigned(later, 1, lines(a, 1), keys[0]), countersigned(later, 1, lines(b, 1), keys[0]), 0
        );
        channels.slashClerk(l, by(4, lines(a, 10)), by(4, lines(b, 10)), 0);
        vm.assertEq(held(0), BOND - 2 * BEHIND);
    }

    /// @dev The lane's whole bond went for another lane meanwhile; what the owner brings again is taken up to what was not.
    function test_C38_neverMoreThanIsHeld() public {
        vm.prank(address(channels));
        stake.slash(l.clerk, BOND - 1e9);
        vm.prank(address(channels));
        token.burn(BOND - 1e9);
        Channels.Countersigned memory v = by(4, lines(a, 10));
        Channels.Countersigned memory w = by(4, lines(b, 10));
        vm.expectEmit(address(channels));
        emit Channels.ClerkSlashed(idOf(l), l.clerk, 1e9);
        channels.slashClerk(l, v, w, 0);
        vm.expectRevert(abi.encodeWithSelector(Channels.Channels_NothingToSlash.selector, idOf(l), 1e9));
        channels.slashClerk(l, v, w, 0);
        vm.warp(block.timestamp + EPOCH);
        joins(owners[0], 0xd44, BOND);
        vm.expectEmit(address(channels));
        emit Channels.ClerkSlashed(idOf(l), l.clerk, BEHIND - 1e9);
        channels.slashClerk(l, v, w, 0);
        vm.assertEq(held(0), BOND - (BEHIND - 1e9));
        vm.expectRevert(abi.encodeWithSelector(Channels.Channels_NothingToSlash.selector, idOf(l), BEHIND));
        channels.slashClerk(l, v, w, 0);
    }

    function test_C38_dustIsTaken() public {
        for (uint128 payment = 1; payment <= 1_024; payment *= 2) {
            vm.prank(AUTHORITY);
            channels.setRatio(2, payment);
        }
        l = lane(1);
        uint256 supply = token.totalSupply();
        channels.slashClerk(l, by(1, lines(a, 1)), by(1, lines(b, 1)), 0);
        vm.assertEq(held(0), BOND - 1);
        vm.assertEq(token.totalSupply(), supply - 1);
    }

    /// @dev Clerk, customer, reporter and harmed host are one: half is gone.
    function test_C39_selfSlashLosesHalf() public {
        vm.prank(HOST);
        assets.transferFrom(HOST, owners[0], a);
        Channels.Countersigned memory v = by(4, lines(a, LIMIT));
        Channels.Countersigned memory w = by(4, lines(b, LIMIT));
        slashes(v, w, 0);
        channels.compensate(l, v, w, bytes32(a));
        vm.assertEq(token.balanceOf(owners[0]) + held(0), BOND - BEHIND / 2);
        vm.expectRevert(abi.encodeWithSelector(Channels.Channels_NothingOwed.selector, idOf(l), bytes32(b)));
        channels.compensate(l, v, w, bytes32(b));
    }

    function owed(uint256 money) internal pure returns (uint256) {
        return money * 3 / 2;
    }

    function test_compensate_paysWhatTheLineDiffers() public {
        Channels.Countersigned memory v = by(4, lines(a, 70, b, 10));
        Channels.Countersigned memory w = by(4, lines(a, 30, b, 50));
        slashes(v, w, 0);
        vm.expectEmit(address(channels));
        emit Channels.Compensated(idOf(l), bytes32(a), HOST, owed(40));
        channels.compensate(l, v, w, bytes32(a));
        vm.assertEq(token.balanceOf(HOST), owed(40));
        channels.compensate(l, v, w, bytes32(b));
        vm.assertEq(token.balanceOf(address(0x4058)), owed(40), "of one number, either may be what was redeemed");
        vm.assertEq(left(), BEHIND / 2 - 2 * owed(40));
        vm.expectRevert(abi.encodeWithSelector(Channels.Channels_NothingOwed.selector, idOf(l), bytes32(a)));
        channels.compensate(l, v, w, bytes32(a));
    }

    function test_compensate_onlyWhoseLineFell() public {
        Channels.Countersigned memory v = by(4, lines(a, 70, b, 10));
        Channels.Countersigned memory w = by(5, lines(a, 30, b, 50));
        slashes(v, w, a);
        channels.compensate(l, v, w, bytes32(a));
        vm.assertEq(token.balanceOf(HOST), owed(40));
        vm.expectRevert(abi.encodeWithSelector(Channels.Channels_NothingOwed.selector, idOf(l), bytes32(b)));
        channels.compensate(l, v, w, bytes32(b));
        vm.expectRevert(none(5, 4));
        channels.compensate(l, w, v, bytes32(a));
    }

    /// @dev Nobody can fix a small harm for an asset, or leave it out, by being the first to prove something.
    function test_compensate_paysTheLargestProvenHarm() public {
        slashes(by(1, lines(b, 1)), by(1, lines(b, 2)), 0);
        Channels.Countersigned memory small = by(2, lines(a, 1));
        Channels.Countersigned memory empty = by(2, lines(b, 1));
        channels.compensate(l, small, empty, bytes32(a));
        vm.assertEq(token.balanceOf(HOST), owed(1));
        channels.compensate(l, by(3, lines(a, 100)), by(4, lines(b, 100)), bytes32(a));
        vm.assertEq(token.balanceOf(HOST), owed(100));
        vm.expectRevert(abi.encodeWithSelector(Channels.Channels_NothingOwed.selector, idOf(l), bytes32(a)));
        channels.compensate(l, small, empty, bytes32(a));
    }

    function test_compensate_untilNothingIsLeft() public {
        Channels.Countersigned memory v = by(4, lines(a, LIMIT - 5));
        Channels.Countersigned memory w = by(4, lines(b, LIMIT));
        slashes(v, w, 0);
        channels.compensate(l, v, w, bytes32(a));
        channels.compensate(l, v, w, bytes32(b));
        vm.assertEq(token.balanceOf(HOST), owed(LIMIT - 5));
        vm.assertEq(token.balanceOf(address(0x4058)), BEHIND / 2 - owed(LIMIT - 5));
        vm.assertEq(left(), 0);
        vm.assertEq(token.balanceOf(address(channels)), 0);
    }

    function test_compensate_needsASlashAndAnOwner() public {
        Channels.Countersigned memory v = by(4, lines(a, 70));
        Channels.Countersigned memory w = by(4, lines(77, 70));
        vm.expectRevert(abi.encodeWithSelector(Channels.Channels_NothingOwed.selector, idOf(l), bytes32(a)));
        channels.compensate(l, v, w, bytes32(a));
        slashes(v, w, 0);
        vm.expectRevert(abi.encodeWithSelector(IERC721Errors.ERC721NonexistentToken.selector, 77));
        channels.compensate(l, v, w, bytes32(uint256(77)));
        Channels.Countersigned memory odd = by(4, lines(a, 90));
        odd.r = 0;
        vm.expectRevert(
            abi.encodeWithSelector(Channels.Channels_BadCountersignature.selector, address(0), l.clerk)
        );
        channels.compensate(l, v, odd, bytes32(a));
    }

    function test_burnRest_after30Days() public {
        Channels.Countersigned memory v = by(4, lines(a, 70));
        Channels.Countersigned memory w = by(4, lines(b, 70));
        vm.expectRevert(abi.encodeWithSelector(Channels.Channels_NotBurnable.selector, block.timestamp, 30 days));
        channels.burnRest(l);
        slashes(v, w, 0);
        channels.compensate(l, v, w, bytes32(a));
        uint256 from = block.timestamp + 30 days;
        vm.warp(from - 1);
        vm.expectRevert(abi.encodeWithSelector(Channels.Channels_NotBurnable.selector, from - 1, from));
        channels.burnRest(l);
        vm.warp(from);
        uint256 rest = BEHIND / 2 - owed(70);
        vm.expectEmit(address(channels));
        emit Channels.RestBurned(idOf(l), rest);
        channels.burnRest(l);
        vm.assertEq(token.balanceOf(address(channels)), 0);
        vm.expectRevert(abi.encodeWithSelector(Channels.Channels_NothingOwed.selector, idOf(l), bytes32(b)));
        channels.compensate(l, v, w, bytes32(b));
    }

    function test_slashClerk_leavesDepositsAlone() public {
        slashes(by(4, lines(a, 10)), by(4, lines(b, 10)), 0);
        redeems(voucher(l, 9, 500));
        vm.warp(closesAt(l));
        channels.closeLane(l);
        vm.assertEq(free(CUSTOMER), 2 * LIMIT - 500);
        vm.assertEq(channels.locked(owners[0]), 0);
    }
}

/// @dev Customers pay in the network's own token.
contract OwnTokenTest is Market {
    function payment() internal view override returns (IERC20) {
        return token;
    }

    function test_ownToken_shareIsBurned() public {
        vm.assertTrue(channels.BURNS());
        funds(CUSTOMER, 1_000);
        uint256 supply = token.totalSupply();
        Channels.Lane memory l = lane(1_000);
        redeems(voucher(l, 1, 101));
        vm.assertEq(token.totalSupply(), supply - 6);
        vm.assertEq(token.balanceOf(address(settlement)), 95);
        vm.assertEq(token.balanceOf(TREASURY), 0);
        vm.assertEq(token.balanceOf(address(channels)), 1_000 - 101);
    }

    function test_ownToken_wholeShareIsBurnAndMint() public {
        vm.prank(AUTHORITY);
        channels.setShare(10_000);
        vm.warp(GENESIS + EPOCH);
        funds(CUSTOMER, 1_000);
        uint256 supply = token.totalSupply();
        redeems(voucher(lane(1_000), 1, 1_000));
        vm.assertEq(token.totalSupply(), supply - 1_000);
        vm.assertEq(channels.redeemed(address(settlement)), 0);
        vm.assertEq(token.balanceOf(address(settlement)), 0);
    }

    /// @dev What is kept for harmed hosts and what customers deposited lie in one balance: neither pays for the other.
    function test_ownToken_slashedAndDepositedStayApart() public {
        funds(CUSTOMER, 1_000);
        Channels.Lane memory l = lane(1_000);
        channels.slashClerk(
            l, countersigned(l, 1, lines(1, 10), keys[0]), countersigned(l, 1, lines(2, 10), keys[0]), 0
        );
        vm.assertEq(token.balanceOf(address(channels)), 1_000 + 1_500);
        vm.warp(block.timestamp + 30 days);
        channels.closeLane(l);
        channels.burnRest(l);
        vm.prank(CUSTOMER);
        channels.withdraw(1_000);
        vm.assertEq(token.balanceOf(CUSTOMER), 1_000);
        vm.assertEq(token.balanceOf(address(channels)), 0);
    }
}
