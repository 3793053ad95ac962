// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC721Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {AssetShares} from "../src/AssetShares.sol";
import {Assets} from "../src/Assets.sol";
import {SharesFactory} from "../src/SharesFactory.sol";
import {Coin} from "./support/Coin.sol";
import {FalseCoin, FeeCoin, HookedCoin, SilentCoin, SizedCoin} from "./support/Odd.sol";
import {Raise} from "./support/Raise.sol";

contract AssetSharesTest is Raise {
    bytes32 internal constant NEW_KEY = "new key";

    function refunds(address account) internal returns (uint256) {
        uint256 before = coin.balanceOf(account);
        shares.refund(account);
        return coin.balanceOf(account) - before;
    }

    function moves(address from, address to, uint256 amount) internal {
        vm.prank(from);
        shares.transfer(to, amount);
    }

    function releases(uint256 milestone, uint256 units, uint256 paidEpochs, bytes32[] memory proof) internal {
        shares.release(milestone, units, 17, 23, paidEpochs, proof);
    }

    function releasesFirst() internal {
        releases(0, 0, 0, new bytes32[](0));
    }

    /// @dev The roof's work as final, next to the mast's.
    function roofDid(uint256 units, uint256 paidEpochs) internal returns (bytes32[] memory) {
        bytes32 other = leaf(mast, 1, 1);
        settles(leaf(roof, units, paidEpochs), other);
        return sibling(other);
    }

    function withdraws(address account) internal returns (uint256 paid, uint256 rewarded) {
        paid = shares.withdrawable(account, payment()) == 0 ? 0 : shares.withdraw(account, payment());
        rewarded = shares.withdrawable(account, rewards_()) == 0 ? 0 : shares.withdraw(account, rewards_());
    }

    function dismisses(address person) internal {
        vm.prank(ISSUER);
        attestations.revoke(padded(person), PERSON);
    }

    function test_contribute_takesAndMints() public {
        coin.mint(ANA, 300);
        vm.startPrank(ANA);
        coin.approve(address(shares), 300);
        vm.expectEmit(address(shares));
        emit AssetShares.Contributed(ANA, 300);
        vm.assertEq(shares.contribute(300), 300);
        vm.assertEq(shares.balanceOf(ANA), 300);
        vm.assertEq(coin.balanceOf(address(shares)), 300);
        stateIs(AssetShares.State.RAISE);
        vm.assertEq(shares.name(), "Roof and mast");
        vm.assertEq(shares.symbol(), "ROOF");
        vm.assertEq(shares.decimals(), coin.decimals());
    }

    function test_H71_overshootTakesWhatIsLeft() public {
        paysIn(ANA, 999);
        vm.assertEq(paysIn(BEN, 500), 1);
        vm.assertEq(coin.balanceOf(BEN), 499);
        vm.assertEq(shares.totalSupply(), HARD_CAP);
        stateIs(AssetShares.State.LIVE);
        coin.mint(ANA, 1);
        vm.startPrank(ANA);
        coin.approve(address(shares), 1);
        vm.expectRevert(wrongState(AssetShares.State.LIVE));
        shares.contribute(1);
    }

    function test_H71_fromTheEndOnNothingIsTaken() public {
        vm.warp(RAISE_END - 1);
        paysIn(ANA, 599);
        vm.warp(RAISE_END);
        coin.mint(BEN, 1);
        vm.startPrank(BEN);
        coin.approve(address(shares), 1);
        vm.expectRevert(wrongState(AssetShares.State.REFUND));
        shares.contribute(1);
    }

    function test_H71_exactlyTheSoftCapSucceeds() public {
        paysIn(ANA, SOFT_CAP);
        stateIs(AssetShares.State.RAISE);
        vm.warp(RAISE_END - 1);
        stateIs(AssetShares.State.RAISE);
        vm.warp(RAISE_END);
        stateIs(AssetShares.State.LIVE);
    }

    function test_H71_oneLessThanTheSoftCapFails() public {
        paysIn(ANA, SOFT_CAP - 1);
        vm.warp(RAISE_END);
        stateIs(AssetShares.State.REFUND);
        coin.mint(address(shares), 1);
        stateIs(AssetShares.State.REFUND);
    }

    function test_H71_nothingReverts() public {
        vm.expectRevert(nothingFor(ANA));
        vm.prank(ANA);
        shares.contribute(0);
    }

    function test_H71_oneUnitCountsLikeAnyOther() public {
        vm.assertEq(paysIn(ANA, 1), 1);
        paysIn(BEN, 999);
        earns(1_000, 0);
        (uint256 paid,) = withdraws(ANA);
        vm.assertEq(paid, 1);
    }

    function test_refund_paysBackByAnyone() public {
        fails();
        vm.expectEmit(address(shares));
        emit AssetShares.Refunded(ANA, 300);
        vm.assertEq(refunds(ANA), 300);
        vm.assertEq(refunds(BEN), 200);
        vm.assertEq(shares.totalSupply(), 0);
        vm.assertEq(coin.balanceOf(address(shares)), 0);
    }

    function test_refund_goesToWhoHoldsTheShares() public {
        fails();
        moves(ANA, BEN, 100);
        vm.assertEq(refunds(BEN), 300);
        vm.assertEq(refunds(ANA), 200);
    }

    function test_refund_isOpenForEver() public {
        fails();
        vm.warp(uint256(type(uint40).max) * 2);
        vm.assertEq(refunds(ANA), 300);
    }

    function test_H72_refundTwiceReverts() public {
        fails();
        refunds(ANA);
        vm.expectRevert(nothingFor(ANA));
        shares.refund(ANA);
    }

    function test_H72_refundInARunningOrGoodRaiseReverts() public {
        paysIn(ANA, 600);
        vm.expectRevert(wrongState(AssetShares.State.RAISE));
        shares.refund(ANA);
        vm.warp(RAISE_END);
        releasesFirst();
        vm.expectRevert(wrongState(AssetShares.State.LIVE));
        shares.refund(ANA);
    }

    function test_H72_hostilePayeeBlocksOnlyItself() public {
        fails();
        coin.freeze(ANA);
        vm.expectRevert(abi.encodeWithSelector(Coin.Coin_Frozen.selector, ANA));
        shares.refund(ANA);
        vm.assertEq(refunds(BEN), 200);
        moves(ANA, BEN, 300);
        vm.assertEq(refunds(BEN), 300);
    }

    function test_H72_nobodyElseTakesTheRefunds() public {
        fails();
        vm.expectRevert(wrongState(AssetShares.State.REFUND));
        releasesFirst();
        vm.expectRevert(wrongState(AssetShares.State.REFUND));
        shares.withdraw(ANA, payment());
        vm.expectRevert(wrongState(AssetShares.State.REFUND));
        shares.sync();
        shares.returnEarnings(payment());
        vm.assertEq(coin.balanceOf(BUILDER), 0);
        vm.assertEq(refunds(ANA) + refunds(BEN), 500);
    }

    function test_returnEarnings_leavesTheRefunds() public {
        fails();
        earns(40, 9);
        refunds(BEN);
        shares.returnEarnings(payment());
        shares.returnEarnings(rewards_());
        vm.assertEq(coin.balanceOf(BUILDER), 40);
        vm.assertEq(token.balanceOf(BUILDER), 9);
        vm.assertEq(refunds(ANA), 300);
        vm.expectRevert(abi.encodeWithSelector(AssetShares.AssetShares_NotACurrency.selector, shares));
        shares.returnEarnings(IERC20(address(shares)));
    }

    function test_returnAsset_onlyAfterAFailedRaise() public {
        brings(roof);
        vm.expectRevert(wrongState(AssetShares.State.RAISE));
        shares.returnAsset(roof);
        vm.expectRevert(wrongState(AssetShares.State.RAISE));
        shares.returnEarnings(payment());
        fails();
        shares.returnAsset(roof);
        vm.assertEq(assets.ownerOf(uint256(roof)), BUILDER);
    }

    function test_returnAsset_neverWhileLive() public {
        brings(roof);
        live();
        for (uint256 i = 0; i < 2; ++i) {
            vm.expectRevert(wrongState(AssetShares.State.LIVE));
            shares.returnAsset(roof);
            vm.expectRevert(wrongState(AssetShares.State.LIVE));
            shares.returnEarnings(payment());
            vm.warp(BUILD_END + 1);
        }
    }

    function test_release_onSuccess() public {
        vm.expectRevert(wrongState(AssetShares.State.RAISE));
        releasesFirst();
        live();
        vm.expectEmit(address(shares));
        emit AssetShares.Released(0, 200);
        releasesFirst();
        vm.assertEq(coin.balanceOf(BUILDER), 200);
        vm.assertEq(shares.released(), 200);
    }

    function test_release_byProofOfTheLeaf() public {
        live();
        brings(roof);
        brings(mast);
        (bytes32 one, bytes32 two) = (leaf(roof, 40_000, 3), leaf(mast, 0, 10));
        settles(one, two);
        releases(1, 40_000, 3, sibling(two));
        releases(2, 0, 10, sibling(one));
        releasesFirst();
        vm.assertEq(coin.balanceOf(BUILDER), 1_000);
        vm.assertEq(shares.releasedMilestones(), 7);
    }

    function test_release_ofARaiseBelowTheHardCapRoundsDown() public {
        paysIn(ANA, 601);
        vm.warp(RAISE_END);
        releasesFirst();
        vm.assertEq(coin.balanceOf(BUILDER), 120);
    }

    function test_release_revertsTwice() public {
        live();
        releasesFirst();
        vm.expectRevert(abi.encodeWithSelector(AssetShares.AssetShares_AlreadyReleased.selector, 0));
        releasesFirst();
    }

    function test_release_revertsBelowTheMilestone() public {
        live();
        brings(roof);
        bytes32[] memory proof = roofDid(39_999, 3);
        vm.expectRevert(abi.encodeWithSelector(AssetShares.AssetShares_NotReached.selector, 39_999, 3));
        releases(1, 39_999, 3, proof);
        proof = roofDid(40_000, 2);
        vm.expectRevert(abi.encodeWithSelector(AssetShares.AssetShares_NotReached.selector, 40_000, 2));
        releases(1, 40_000, 2, proof);
    }

    function test_release_revertsForAnAssetOfOthers() public {
        live();
        bytes32[] memory proof = roofDid(40_000, 3);
        vm.expectRevert(abi.encodeWithSelector(AssetShares.AssetShares_NotOwned.selector, roof, BUILDER));
        releases(1, 40_000, 3, proof);
        brings(roof);
        releases(1, 40_000, 3, proof);
    }

    function test_release_revertsForAnAssetThatIsNone() public {
        AssetShares.Terms memory t = terms();
        t.milestones[1].asset = "nowhere";
        shares = raises(factory, t);
        live();
        bytes32 only = leaf("nowhere", 40_000, 3);
        finals.set(only);
        vm.expectRevert(
            abi.encodeWithSelector(IERC721Errors.ERC721NonexistentToken.selector, uint256(bytes32("nowhere")))
        );
        releases(1, 40_000, 3, new bytes32[](0));
    }

    function test_A17_leafOfAnotherAssetReverts() public {
        live();
        brings(roof);
        bytes32 other = leaf(roof, 1, 1);
        settles(leaf(mast, 40_000, 10), other);
        vm.expectRevert(abi.encodeWithSelector(AssetShares.AssetShares_ProofInvalid.selector, finals.assetRoot()));
        releases(1, 40_000, 10, sibling(other));
    }

    function test_A06_noRootReverts() public {
        live();
        brings(roof);
        vm.expectRevert(abi.encodeWithSelector(AssetShares.AssetShares_ProofInvalid.selector, bytes32(0)));
        releases(1, 40_000, 3, new bytes32[](0));
    }

    function test_A01_numbersOfAnotherLeafRevert() public {
        live();
        brings(roof);
        bytes32[] memory proof = roofDid(10, 1);
        vm.expectRevert(abi.encodeWithSelector(AssetShares.AssetShares_ProofInvalid.selector, finals.assetRoot()));
        releases(1, 40_000, 3, proof);
    }

    function test_A07_staleRootReverts() public {
        live();
        brings(roof);
        bytes32[] memory proof = roofDid(40_000, 3);
        roofDid(40_001, 4);
        vm.expectRevert(abi.encodeWithSelector(AssetShares.AssetShares_ProofInvalid.selector, finals.assetRoot()));
        releases(1, 40_000, 3, proof);
    }

    function test_release_unprovedMoneyIsTheHoldersInTheEnd() public {
        live();
        brings(roof);
        releasesFirst();
        bytes32[] memory proof = roofDid(40_000, 3);
        vm.warp(BUILD_END - 1);
        releases(1, 40_000, 3, proof);
        vm.assertEq(shares.withdrawable(ANA, payment()), 0);
        vm.warp(BUILD_END);
        vm.expectRevert(abi.encodeWithSelector(AssetShares.AssetShares_TooLate.selector, BUILD_END, BUILD_END));
        releases(2, 0, 10, proof);
        (uint256 ana,) = withdraws(ANA);
        (uint256 ben,) = withdraws(BEN);
        vm.assertEq(ana, 180);
        vm.assertEq(ben, 120);
        vm.assertEq(coin.balanceOf(address(shares)), 0);
    }

    function test_release_frozenBuilderHurtsOnlyItself() public {
        live();
        coin.freeze(BUILDER);
        vm.expectRevert(abi.encodeWithSelector(Coin.Coin_Frozen.selector, BUILDER));
        releasesFirst();
        earns(1_000, 0);
        (uint256 paid,) = withdraws(ANA);
        vm.assertEq(paid, 600);
        vm.warp(BUILD_END);
        (paid,) = withdraws(ANA);
        vm.assertEq(paid, 600);
    }

    function test_withdraw_paysBothCurrenciesByAnyone() public {
        live();
        earns(100, 55);
        vm.expectEmit(address(shares));
        emit AssetShares.RevenueCounted(payment(), 100);
        vm.expectEmit(address(shares));
        emit AssetShares.Withdrawn(ANA, payment(), 60);
        shares.withdraw(ANA, payment());
        vm.assertEq(shares.withdraw(ANA, rewards_()), 33);
        vm.assertEq(coin.balanceOf(ANA), 60);
        vm.assertEq(token.balanceOf(ANA), 33);
        (uint256 paid, uint256 rewarded) = withdraws(BEN);
        vm.assertEq(paid, 40);
        vm.assertEq(rewarded, 22);
    }

    function test_withdraw_fractionsWaitAndAddUp() public {
        live();
        uint256 paid = 0;
        for (uint256 i = 0; i < 10; ++i) {
            earns(1, 0);
            (uint256 now_,) = withdraws(ANA);
            paid += now_;
        }
        vm.assertEq(paid, 6);
        (uint256 ben,) = withdraws(BEN);
        vm.assertEq(ben, 4);
        vm.assertEq(coin.balanceOf(address(shares)), 1_000);
    }

    function test_withdraw_revertsForNothing() public {
        live();
        vm.expectRevert(nothingFor(ANA));
        shares.withdraw(ANA, payment());
        earns(1, 1);
        vm.expectRevert(nothingFor(EVE));
        shares.withdraw(EVE, payment());
        vm.expectRevert(nothingFor(ANA));
        shares.withdraw(ANA, payment());
    }

    function test_withdraw_revertsForOtherTokens() public {
        live();
        Coin other = new Coin();
        other.mint(address(shares), 1_000);
        vm.expectRevert(abi.encodeWithSelector(AssetShares.AssetShares_NotACurrency.selector, address(other)));
        shares.withdraw(ANA, IERC20(address(other)));
    }

    function test_withdraw_oneFrozenCurrencyLeavesTheOther() public {
        live();
        earns(100, 100);
        coin.freeze(ANA);
        vm.expectRevert(abi.encodeWithSelector(Coin.Coin_Frozen.selector, ANA));
        shares.withdraw(ANA, payment());
        vm.assertEq(shares.withdraw(ANA, rewards_()), 60);
        vm.assertEq(shares.withdraw(BEN, payment()), 40);
    }

    function test_H74_revenueWithoutHoldersWaitsForThem() public {
        earns(50, 70);
        vm.expectRevert(wrongState(AssetShares.State.RAISE));
        shares.sync();
        paysIn(ANA, 600);
        earns(50, 30);
        vm.assertEq(shares.withdrawable(ANA, payment()), 0);
        paysIn(BEN, 400);
        (uint256 paid, uint256 rewarded) = withdraws(ANA);
        vm.assertEq(paid, 60);
        vm.assertEq(rewarded, 60);
        (paid, rewarded) = withdraws(BEN);
        vm.assertEq(paid, 40);
        vm.assertEq(rewarded, 40);
    }

    function test_H74_donationIsRevenueAndNoEscrow() public {
        live();
        coin.mint(EVE, 500);
        vm.prank(EVE);
        coin.transfer(address(shares), 500);
        (uint256 paid,) = withdraws(ANA);
        vm.assertEq(paid, 300);
        releasesFirst();
        vm.assertEq(coin.balanceOf(BUILDER), 200);
    }

    function test_H74_manySmallDepositsLoseNothing() public {
        paysIn(ANA, 333);
        paysIn(BEN, 334);
        vouches(EVE);
        paysIn(EVE, 333);
        for (uint256 i = 0; i < 4_000; ++i) {
            token.mint(address(shares), 1);
            shares.sync();
        }
        vm.assertEq(shares.withdraw(ANA, rewards_()), 1_332);
        vm.assertEq(shares.withdraw(BEN, rewards_()), 1_336);
        vm.assertEq(shares.withdraw(EVE, rewards_()), 1_332);
    }

    function test_H74_whoBuysBeforeItIsCountedGetsNothing() public {
        live();
        vouches(EVE);
        earns(1_000, 1_000);
        moves(ANA, EVE, 600);
        vm.assertEq(shares.withdrawable(EVE, payment()), 0);
        vm.assertEq(shares.withdrawable(EVE, rewards_()), 0);
        (uint256 paid, uint256 rewarded) = withdraws(ANA);
        vm.assertEq(paid, 600);
        vm.assertEq(rewarded, 600);
        earns(10, 10);
        vm.assertEq(shares.withdrawable(EVE, payment()), 6);
        vm.assertEq(shares.withdrawable(ANA, payment()), 0);
    }

    function test_H74_transferToOneselfChangesNothing() public {
        live();
        earns(100, 100);
        moves(ANA, ANA, 600);
        moves(ANA, ANA, 0);
        vm.assertEq(shares.balanceOf(ANA), 600);
        vm.assertEq(shares.withdrawable(ANA, payment()), 60);
        vm.assertEq(shares.withdrawable(BEN, payment()), 40);
    }

    function test_H74_sharesDoNotGoToTheirOwnContract() public {
        live();
        vm.expectRevert(badReceiver(address(shares), 0));
        moves(ANA, address(shares), 1);
    }

    function test_H75_paymentIsTheNetworksToken() public {
        shares = raises(factoryOf(payment(), payment()), terms());
        live();
        earns(100, 0);
        moves(ANA, BEN, 600);
        vm.assertEq(shares.withdraw(ANA, payment()), 60);
        vm.assertEq(shares.withdraw(BEN, payment()), 40);
        vm.expectRevert(nothingFor(BEN));
        shares.withdraw(BEN, payment());
        releasesFirst();
        vm.assertEq(coin.balanceOf(address(shares)), 800);
    }

    function test_H75_paymentIsTheNetworksTokenAndTheRaiseFails() public {
        shares = raises(factoryOf(payment(), payment()), terms());
        fails();
        earns(7, 0);
        shares.returnEarnings(payment());
        vm.assertEq(coin.balanceOf(BUILDER), 7);
        vm.assertEq(refunds(ANA) + refunds(BEN), 500);
    }

    function test_H75_sharesPayForShares() public {
        shares = raises(factory, open());
        live();
        AssetShares second = raises(factoryOf(IERC20(address(shares)), payment()), open());
        vm.startPrank(ANA);
        shares.approve(address(second), 600);
        second.contribute(600);
        vm.stopPrank();
        vm.warp(RAISE_END);
        earns(100, 0);
        shares.withdraw(address(second), payment());
        vm.assertEq(second.withdraw(ANA, payment()), 60);
        vm.assertEq(shares.withdraw(BEN, payment()), 40);
        second.release(0, 0, 0, 0, 0, new bytes32[](0));
        vm.assertEq(shares.balanceOf(BUILDER), 120);
    }

    /// forge-config: default.fuzz.runs = 64
    function testFuzz_revenueOf25FundersIsTheirsToTheUnit(uint256 seed) public {
        shares = raises(factory, wide());
        uint256[25] memory paid;
        for (uint256 i = 0; i < 25; ++i) {
            paysIn(funder(i), 1 + roll(seed, i) % 1e12);
        }
        vm.warp(RAISE_END);
        uint256 supply = shares.totalSupply();
        uint256 revenue = 0;
        for (uint256 round = 0; round < 30; ++round) {
            uint256 amount = roll(seed, 100 + round) % 1e9;
            revenue += amount;
            token.mint(address(shares), amount);
            for (uint256 i = 0; i < 4; ++i) {
                uint256 who = roll(seed, 1_000 + 10 * round + i) % 25;
                if (shares.withdrawable(funder(who), rewards_()) != 0) {
                    paid[who] += shares.withdraw(funder(who), rewards_());
                }
            }
        }
        uint256 sum = 0;
        uint256 first = roll(seed, 9_999) % 25;
        for (uint256 i = 0; i < 25; ++i) {
            uint256 who = (first + 7 * i) % 25;
            if (shares.withdrawable(funder(who), rewards_()) != 0) {
                paid[who] += shares.withdraw(funder(who), rewards_());
            }
            vm.assertEq(paid[who], revenue * shares.balanceOf(funder(who)) / supply);
            vm.assertEq(token.balanceOf(funder(who)), paid[who]);
            sum += paid[who];
        }
        vm.assertTrue(sum <= revenue && revenue - sum < 25);
        vm.assertEq(token.balanceOf(address(shares)), revenue - sum);
    }

    /// forge-config: default.fuzz.runs = 64
    function testFuzz_revenueIsPaidInFullWhoeverTrades(uint256 seed) public {
        shares = raises(factory, wide());
        for (uint256 i = 0; i < 25; ++i) {
            paysIn(funder(i), 1 + roll(seed, i) % 1e12);
        }
        vm.warp(RAISE_END);
        uint256 revenue = 0;
        for (uint256 round = 0; round < 30; ++round) {
            uint256 amount = roll(seed, 100 + round) % 1e6;
            revenue += amount;
            earns(amount, amount);
            uint256 die = roll(seed, 1_000 + round);
            (address from, address to) = (funder(die % 25), funder((die >> 8) % 25));
            moves(from, to, (die >> 16) % (shares.balanceOf(from) + 1));
            withdraws(funder((die >> 128) % 25));
        }
        for (uint256 i = 0; i < 25; ++i) {
            withdraws(funder(i));
        }
        vm.assertTrue(token.balanceOf(address(shares)) < 25);
        vm.assertTrue(coin.balanceOf(address(shares)) - shares.totalSupply() < 25);
    }

    function wide() internal view returns (AssetShares.Terms memory t) {
        t = open();
        (t.softCap, t.hardCap) = (1, type(uint128).max);
    }

    function funder(uint256 i) internal pure returns (address) {
        return address(uint160(0xF000 + i));
    }

    function roll(uint256 seed, uint256 i) internal pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, i)));
    }

    function test_revenue_largestAmountsFit() public {
        AssetShares.Terms memory t = open();
        t.hardCap = type(uint128).max;
        shares = raises(factory, t);
        paysIn(ANA, type(uint128).max - 1);
        paysIn(BEN, 1);
        token.mint(address(shares), type(uint256).max);
        moves(ANA, BEN, 1);
        vm.assertEq(shares.withdraw(ANA, rewards_()), type(uint128).max - 1);
        vm.assertEq(shares.withdraw(BEN, rewards_()), 1);
        moves(ANA, BEN, 1);
        vm.assertEq(shares.withdrawable(BEN, rewards_()), 0);
    }

    function raisesIn(address odd, AssetShares.Terms memory t) internal {
        shares = raises(factoryOf(IERC20(odd), rewards_()), t);
    }

    function paysOdd(address person, address odd, uint256 amount) internal {
        SizedCoin(odd).mint(person, amount);
        vm.startPrank(person);
        (bool done,) = odd.call(abi.encodeCall(IERC20.approve, (address(shares), amount)));
        vm.assertTrue(done);
        shares.contribute(amount);
        vm.stopPrank();
    }

    function test_H73_feeOnTransferReverts() public {
        FeeCoin odd = new FeeCoin();
        raisesIn(address(odd), terms());
        odd.mint(ANA, 100);
        vm.startPrank(ANA);
        odd.approve(address(shares), 100);
        vm.expectRevert(abi.encodeWithSelector(AssetShares.AssetShares_OtherAmount.selector, 100, 99));
        shares.contribute(100);
    }

    function test_H73_falseReturningReverts() public {
        FalseCoin odd = new FalseCoin();
        raisesIn(address(odd), terms());
        odd.mint(ANA, 100);
        vm.startPrank(ANA);
        odd.approve(address(shares), 100);
        vm.expectRevert(abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, odd));
        shares.contribute(100);
    }

    function test_H73_noReturnWorks() public {
        SilentCoin odd = new SilentCoin();
        raisesIn(address(odd), terms());
        paysOdd(ANA, address(odd), 600);
        paysOdd(BEN, address(odd), 400);
        releasesFirst();
        odd.mint(address(shares), 10);
        vm.assertEq(shares.withdraw(ANA, IERC20(address(odd))), 6);
        vm.assertEq(odd.balanceOf(BUILDER), 200);
        vm.assertEq(shares.decimals(), 6);
    }

    function test_H73_noReturnRefunds() public {
        SilentCoin odd = new SilentCoin();
        raisesIn(address(odd), terms());
        paysOdd(ANA, address(odd), 599);
        vm.warp(RAISE_END);
        shares.refund(ANA);
        vm.assertEq(odd.balanceOf(ANA), 599);
    }

    function test_H73_anyDecimals() public {
        uint8[4] memory sizes = [0, 6, 18, 24];
        for (uint256 i = 0; i < 4; ++i) {
            vm.warp(START);
            SizedCoin odd = new SizedCoin(sizes[i]);
            uint128 one = uint128(10 ** sizes[i]);
            AssetShares.Terms memory t = terms();
            (t.softCap, t.hardCap) = (600 * one, 1_000 * one);
            raisesIn(address(odd), t);
            vm.assertEq(shares.decimals(), sizes[i]);
            paysOdd(ANA, address(odd), 600 * one);
            paysOdd(BEN, address(odd), 300 * one);
            vm.warp(RAISE_END);
            odd.mint(address(shares), 3);
            vm.assertEq(shares.withdraw(ANA, IERC20(address(odd))), 2);
            vm.assertEq(shares.withdraw(BEN, IERC20(address(odd))), 1);
        }
    }

    function test_H73_shrunkBalanceStopsNoTransferOrRefundItCanPay() public {
        SizedCoin odd = new SizedCoin(6);
        raisesIn(address(odd), open());
        paysOdd(ANA, address(odd), 600);
        vm.warp(RAISE_END);
        odd.shrink(address(shares), 1);
        token.mint(address(shares), 60);
        moves(ANA, BEN, 300);
        vm.assertEq(shares.withdraw(ANA, rewards_()), 60);
        odd.mint(address(shares), 3);
        vm.assertEq(shares.withdraw(BEN, IERC20(address(odd))), 1);
    }

    function hooked(bytes memory call) internal returns (HookedCoin odd) {
        odd = new HookedCoin();
        raisesIn(address(odd), open());
        odd.setHook(address(shares), call);
    }

    function test_H73_hookCannotPayInWithinPayingIn() public {
        HookedCoin odd = hooked(abi.encodeCall(AssetShares.contribute, (1)));
        paysOdd(ANA, address(odd), 500);
        vm.assertEq(shares.totalSupply(), 500);
        vm.assertLe(4, odd.refused());
    }

    function test_H73_hookCannotRefundTwice() public {
        HookedCoin odd = hooked(abi.encodeCall(AssetShares.refund, (ANA)));
        paysOdd(ANA, address(odd), 300);
        paysOdd(BEN, address(odd), 200);
        vm.warp(RAISE_END);
        shares.refund(ANA);
        vm.assertEq(odd.balanceOf(ANA), 300);
        shares.refund(BEN);
        vm.assertEq(odd.balanceOf(BEN), 200);
    }

    function test_H73_hookCannotCountMoneyUnderWay() public {
        bytes[4] memory calls = [
            abi.encodeCall(AssetShares.sync, ()),
            abi.encodeCall(AssetShares.transfer, (BEN, 0)),
            abi.encodeCall(AssetShares.transferFrom, (ANA, BEN, 0)),
            abi.encodeCall(AssetShares.release, (0, 0, 0, 0, 0, new bytes32[](0)))
        ];
        for (uint256 i = 0; i < 4; ++i) {
            vm.warp(START);
            HookedCoin odd = hooked(calls[i]);
            paysOdd(ANA, address(odd), 600);
            vm.warp(RAISE_END);
            odd.mint(address(shares), 60);
            uint256 refused = odd.refused();
            vm.assertEq(shares.withdraw(ANA, IERC20(address(odd))), 60);
            vm.assertEq(odd.refused(), refused + 2);
            vm.assertEq(shares.withdrawable(ANA, IERC20(address(odd))), 0);
        }
    }

    function test_H73_hookCannotCountMoneyUnderWayToTheBuilder() public {
        HookedCoin odd = hooked(abi.encodeCall(AssetShares.sync, ()));
        paysOdd(ANA, address(odd), 600);
        vm.warp(RAISE_END);
        uint256 refused = odd.refused();
        releasesFirst();
        vm.assertEq(odd.refused(), refused + 2);
        vm.assertEq(shares.withdrawable(ANA, IERC20(address(odd))), 0);
    }

    function test_H73_hookCannotTakeARefundAsEarnings() public {
        HookedCoin odd = new HookedCoin();
        raisesIn(address(odd), open());
        paysOdd(ANA, address(odd), 300);
        paysOdd(BEN, address(odd), 200);
        vm.warp(RAISE_END);
        odd.setHook(address(shares), abi.encodeCall(AssetShares.returnEarnings, (IERC20(address(odd)))));
        shares.refund(ANA);
        shares.refund(BEN);
        vm.assertEq(odd.balanceOf(BUILDER), 0);
        vm.assertEq(odd.refused(), 4);
    }

    function test_H73_hookCannotReadMoneyUnderWay() public {
        HookedCoin odd = new HookedCoin();
        raisesIn(address(odd), open());
        paysOdd(ANA, address(odd), 600);
        vm.warp(RAISE_END);
        odd.mint(address(shares), 60);
        odd.setHook(address(shares), abi.encodeCall(AssetShares.withdrawable, (ANA, IERC20(address(odd)))));
        shares.withdraw(ANA, IERC20(address(odd)));
        vm.assertEq(odd.refused(), 2);
    }

    function test_H77_payingInNeedsTheAttestation() public {
        coin.mint(EVE, 10);
        vm.startPrank(EVE);
        coin.approve(address(shares), 10);
        vm.expectRevert(badReceiver(EVE, PERSON));
        shares.contribute(10);
        vm.stopPrank();
        vm.assertEq(coin.balanceOf(EVE), 10);
    }

    function test_H77_transferNeedsTheReceivers() public {
        live();
        vm.expectRevert(badReceiver(EVE, PERSON));
        moves(ANA, EVE, 1);
        vm.expectRevert(badReceiver(EVE, PERSON));
        moves(ANA, EVE, 0);
        dismisses(ANA);
        moves(ANA, BEN, 1);
    }

    function test_H77_expiredBetweenApproveAndTransferFrom() public {
        live();
        vm.prank(ISSUER);
        attestations.attest(padded(BEN), PERSON, START + 10);
        vm.prank(ANA);
        shares.approve(EVE, 2);
        vm.prank(EVE);
        shares.transferFrom(ANA, BEN, 1);
        vm.warp(START + 10);
        vm.expectRevert(badReceiver(BEN, PERSON));
        vm.prank(EVE);
        shares.transferFrom(ANA, BEN, 1);
    }

    function test_H77_revokedOrDismissedInBetween() public {
        live();
        dismisses(BEN);
        vm.expectRevert(badReceiver(BEN, PERSON));
        moves(ANA, BEN, 1);
        vouches(BEN);
        moves(ANA, BEN, 1);
        vm.prank(AUTHORITY);
        attestations.setIssuer(PERSON, ISSUER, false);
        vm.expectRevert(badReceiver(BEN, PERSON));
        moves(ANA, BEN, 1);
    }

    function test_H77_moneyOutNeedsNoAttestation() public {
        live();
        earns(100, 0);
        dismisses(ANA);
        (uint256 paid,) = withdraws(ANA);
        vm.assertEq(paid, 60);
        shares = raises(factory, renamed());
        vouches(ANA);
        fails();
        dismisses(ANA);
        vm.assertEq(refunds(ANA), 300);
    }

    function renamed() internal view returns (AssetShares.Terms memory t) {
        t = terms();
        t.name = "Another";
    }

    function test_H77_allTopicsAreNeeded() public {
        AssetShares.Terms memory t = terms();
        t.topics = new bytes32[](2);
        (t.topics[0], t.topics[1]) = (PERSON, bytes32("resident"));
        shares = raises(factory, t);
        coin.mint(ANA, 10);
        vm.startPrank(ANA);
        coin.approve(address(shares), 10);
        vm.expectRevert(badReceiver(ANA, "resident"));
        shares.contribute(10);
    }

    function test_G70_takesAssetsOnly() public {
        vm.prank(BUILDER);
        assets.safeTransferFrom(BUILDER, address(shares), uint256(roof));
        vm.assertEq(assets.ownerOf(uint256(roof)), address(shares));
        Assets other = new Assets("Others", "OTHER", START, address(0));
        vm.prank(BUILDER);
        bytes32 id = other.registerSite(BUILDER, "site", 1);
        vm.expectRevert(abi.encodeWithSelector(AssetShares.AssetShares_NotAnAsset.selector, address(other)));
        vm.prank(BUILDER);
        other.safeTransferFrom(BUILDER, address(shares), uint256(id));
    }

    function test_rotateKey_byTheBuilder() public {
        brings(roof);
        live();
        vm.expectRevert(abi.encodeWithSelector(AssetShares.AssetShares_NotBuilder.selector, ANA, BUILDER));
        vm.prank(ANA);
        shares.rotateKey(roof, 1, abi.encode(NEW_KEY));
        vm.expectEmit(address(assets));
        emit Assets.KeyRotated(roof, 1, abi.encode(NEW_KEY));
        vm.prank(BUILDER);
        shares.rotateKey(roof, 1, abi.encode(NEW_KEY));
        vm.expectRevert(abi.encodeWithSelector(Assets.Assets_NotAllowed.selector, address(shares), BUILDER));
        vm.prank(BUILDER);
        shares.rotateKey(mast, 1, abi.encode(NEW_KEY));
    }

    function test_G69_sellerIsPaidNoLonger() public {
        bytes32[] memory payees = new bytes32[](1);
        uint32[] memory parts = new uint32[](1);
        (payees[0], parts[0]) = (padded(BUILDER), 1);
        vm.prank(BUILDER);
        assets.setPayees(roof, payees, parts);
        vm.expectEmit(address(assets));
        emit Assets.PayeesSet(roof, new bytes32[](0), new uint32[](0));
        brings(roof);
        vm.expectRevert(abi.encodeWithSelector(Assets.Assets_NotAllowed.selector, BUILDER, address(shares)));
        vm.prank(BUILDER);
        assets.setPayees(roof, payees, parts);
    }

    function test_H76_implementationDoesNothing() public {
        AssetShares code = factory.IMPLEMENTATION();
        coin.mint(ANA, 10);
        vm.startPrank(ANA);
        coin.approve(address(code), 10);
        bytes memory why = abi.encodeWithSelector(AssetShares.AssetShares_NotAClone.selector);
        vm.expectRevert(why);
        code.contribute(10);
        vm.expectRevert(why);
        code.transfer(BEN, 0);
        vm.expectRevert(why);
        code.refund(ANA);
        vm.expectRevert(why);
        code.terms();
        vm.expectRevert(why);
        code.returnAsset(roof);
        vm.expectRevert(why);
        code.rotateKey(roof, 1, abi.encode(NEW_KEY));
    }

    function test_H76_cloneHasNothingToInitialise() public {
        bytes[4] memory calls = [
            abi.encodeWithSignature("initialize()"),
            abi.encodeWithSignature("initialize(bytes)", abi.encode(terms())),
            abi.encodeWithSignature("init(address)", EVE),
            abi.encodeWithSignature("setTerms(bytes)", abi.encode(terms()))
        ];
        for (uint256 i = 0; i < calls.length; ++i) {
            (bool done,) = address(shares).call(calls[i]);
            vm.assertFalse(done);
        }
        vm.assertEq(keccak256(abi.encode(shares.terms())), keccak256(abi.encode(terms())));
    }

    function test_H76_strangersCloneIsKnown() public {
        address code = address(factory.IMPLEMENTATION());
        address fake = Clones.cloneWithImmutableArgs(code, abi.encode(terms()));
        vm.assertFalse(factory.isShares(fake));
        vm.assertTrue(factory.isShares(address(shares)));
    }

    function test_J88_noOwnersFunctions() public {
        bytes[8] memory calls = [
            abi.encodeWithSignature("owner()"),
            abi.encodeWithSignature("pause()"),
            abi.encodeWithSignature("upgradeToAndCall(address,bytes)", address(this), ""),
            abi.encodeWithSignature("forcedTransfer(address,address,uint256)", ANA, EVE, 1),
            abi.encodeWithSignature("mint(address,uint256)", EVE, 1),
            abi.encodeWithSignature("burn(address,uint256)", ANA, 1),
            abi.encodeWithSignature("sweep(address)", address(coin)),
            abi.encodeWithSignature("recoverERC20(address,address,uint256)", address(coin), EVE, 1)
        ];
        address[3] memory ours = [address(shares), address(factory), address(attestations)];
        for (uint256 i = 0; i < 3; ++i) {
            for (uint256 j = 0; j < calls.length; ++j) {
                (bool done,) = ours[i].call(calls[j]);
                vm.assertFalse(done);
            }
        }
    }

    function test_K90_noEther() public {
        vm.deal(address(this), 1 ether);
        address[3] memory ours = [address(shares), address(factory), address(attestations)];
        for (uint256 i = 0; i < 3; ++i) {
            (bool done,) = ours[i].call{value: 1}("");
            vm.assertFalse(done);
        }
        (bool synced,) = address(shares).call{value: 1}(abi.encodeCall(shares.sync, ()));
        vm.assertFalse(synced);
    }

    function test_K90_dirtyUpperBitsRevert() public {
        live();
        earns(10, 0);
        bytes memory call = abi.encodeCall(shares.withdraw, (ANA, payment()));
        call[4] = 0x01;
        (bool dirty,) = address(shares).call(call);
        vm.assertFalse(dirty);
        call[4] = 0x00;
        (bool clean,) = address(shares).call(call);
        vm.assertTrue(clean);
    }
}
