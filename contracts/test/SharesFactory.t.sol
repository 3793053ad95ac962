// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {AssetShares} from "../src/AssetShares.sol";
import {SharesFactory} from "../src/SharesFactory.sol";
import {Raise} from "./support/Raise.sol";

contract SharesFactoryTest is Raise {
    function refuses(AssetShares.Terms memory t, bytes memory why) internal {
        refuses(t, "other", why);
    }

    function refuses(AssetShares.Terms memory t, bytes32 salt, bytes memory why) internal {
        vm.expectRevert(why);
        vm.prank(t.builder);
        factory.create(t, salt);
    }

    function other() internal view returns (AssetShares.Terms memory t) {
        t = terms();
        t.name = "Another";
    }

    function test_create_tells() public {
        AssetShares.Terms memory t = other();
        vm.prank(BUILDER);
        shares = AssetShares(factory.create(t, "salt"));
        vm.assertTrue(factory.isShares(address(shares)));
        vm.assertEq(keccak256(abi.encode(shares.terms())), keccak256(abi.encode(t)));
        vm.assertEq(address(shares.PAYMENT()), address(coin));
        vm.assertEq(address(shares.TOKEN()), address(token));
        vm.assertEq(address(shares.SETTLEMENT()), address(finals));
        vm.assertEq(address(shares.ASSETS()), address(assets));
        vm.assertEq(address(shares.ATTESTATIONS()), address(attestations));
        stateIs(AssetShares.State.RAISE);
    }

    function test_create_emitsTheTerms() public {
        AssetShares.Terms memory t = other();
        vm.prank(BUILDER);
        address first = factory.create(t, "first");
        SharesFactory again = factoryOf(payment(), rewards_());
        vm.assertFalse(again.isShares(first));
        bytes32 codeHash = keccak256(
            abi.encodePacked(
                hex"61",
                uint16(abi.encode(t).length + 45),
                hex"3d81600a3d39f3363d3d373d3d3d363d73",
                again.IMPLEMENTATION(),
                hex"5af43d82803e903d91602b57fd5bf3",
                abi.encode(t)
            )
        );
        bytes32 hash = keccak256(abi.encodePacked(hex"ff", again, bytes32("first"), codeHash));
        address expected = address(uint160(uint256(hash)));
        vm.assertEq(again.addressOf(t, "first"), expected);
        vm.expectEmit(address(again));
        emit SharesFactory.Created(expected, BUILDER, t);
        vm.prank(BUILDER);
        vm.assertEq(again.create(t, "first"), expected);
    }

    function test_H76_sameTermsAndSaltTwiceReverts() public {
        refuses(terms(), "salt", abi.encodeWithSelector(SharesFactory.SharesFactory_AlreadyMade.selector, shares));
        vm.prank(BUILDER);
        address second = factory.create(terms(), "second");
        vm.assertTrue(second != address(shares));
    }

    function test_H76_nobodyRaisesInAnothersName() public {
        vm.expectRevert(abi.encodeWithSelector(SharesFactory.SharesFactory_NotBuilder.selector, EVE, BUILDER));
        vm.prank(EVE);
        factory.create(other(), "salt");
    }

    function test_create_revertsOnCaps() public {
        AssetShares.Terms memory t = terms();
        t.softCap = 0;
        refuses(t, abi.encodeWithSelector(SharesFactory.SharesFactory_BadCaps.selector, 0, HARD_CAP));
        t.softCap = HARD_CAP + 1;
        refuses(t, abi.encodeWithSelector(SharesFactory.SharesFactory_BadCaps.selector, HARD_CAP + 1, HARD_CAP));
        t.softCap = HARD_CAP;
        raises(factory, t);
    }

    function refusesTimes(uint40 raiseEnd, uint40 buildEnd) internal {
        AssetShares.Terms memory t = terms();
        (t.raiseEnd, t.buildEnd) = (raiseEnd, buildEnd);
        refuses(t, abi.encodeWithSelector(SharesFactory.SharesFactory_BadTimes.selector, raiseEnd, buildEnd, START));
    }

    function test_create_revertsOnTimes() public {
        uint40 latest = START + 365 days;
        refusesTimes(START, latest);
        refusesTimes(latest + 1, latest + 2);
        refusesTimes(latest, latest);
        refusesTimes(latest, latest + 5 * 365 days + 1);
        AssetShares.Terms memory t = terms();
        (t.raiseEnd, t.buildEnd) = (latest, latest + 5 * 365 days);
        raises(factory, t);
    }

    function test_create_revertsOnTooMany() public {
        AssetShares.Terms memory t = terms();
        t.topics = new bytes32[](5);
        refuses(t, abi.encodeWithSelector(SharesFactory.SharesFactory_TooMany.selector, 5, 3));
        t = terms();
        t.milestones = new AssetShares.Milestone[](33);
        refuses(t, abi.encodeWithSelector(SharesFactory.SharesFactory_TooMany.selector, 1, 33));
    }

    function test_create_revertsOnMilestones() public {
        AssetShares.Terms memory t = terms();
        t.milestones[1].amountBps = 0;
        refuses(t, abi.encodeWithSelector(SharesFactory.SharesFactory_BadMilestone.selector, 1));
        t = terms();
        t.milestones[0].minUnits = 1;
        refuses(t, abi.encodeWithSelector(SharesFactory.SharesFactory_BadMilestone.selector, 0));
        t = terms();
        t.milestones[0].minPaidEpochs = 1;
        refuses(t, abi.encodeWithSelector(SharesFactory.SharesFactory_BadMilestone.selector, 0));
    }

    function test_create_revertsOnTheirSum() public {
        AssetShares.Terms memory t = terms();
        t.milestones[0].amountBps = 2_001;
        refuses(t, abi.encodeWithSelector(SharesFactory.SharesFactory_BadSum.selector, 10_001));
        t.milestones[0].amountBps = 1_999;
        refuses(t, abi.encodeWithSelector(SharesFactory.SharesFactory_BadSum.selector, 9_999));
        t.milestones = new AssetShares.Milestone[](0);
        refuses(t, abi.encodeWithSelector(SharesFactory.SharesFactory_BadSum.selector, 0));
    }

    function test_create_largestTermsWork() public {
        AssetShares.Terms memory t = open();
        t.milestones = new AssetShares.Milestone[](32);
        for (uint256 i = 0; i < 32; ++i) {
            t.milestones[i].amountBps = i == 0 ? 10_000 - 31 * 312 : 312;
        }
        shares = raises(factory, t);
        live();
        for (uint256 i = 0; i < 32; ++i) {
            shares.release(i, 0, 0, 0, 0, new bytes32[](0));
        }
        vm.assertEq(coin.balanceOf(BUILDER), 32 + 31 * 31);
        vm.assertEq(shares.releasedMilestones(), type(uint32).max);
    }

    function test_K90_termsThatDoNotFitRevert() public {
        AssetShares.Terms memory t = terms();
        t.name = string(new bytes(30_000));
        vm.expectRevert();
        vm.prank(BUILDER);
        factory.create(t, "salt");
    }

    function test_K90_dirtyUpperBitsRevert() public {
        bytes memory call = abi.encodeCall(factory.isShares, (address(shares)));
        call[4] = 0x01;
        (bool dirty,) = address(factory).call(call);
        vm.assertFalse(dirty);
    }
}
