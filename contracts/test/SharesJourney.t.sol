// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {AssetShares} from "../src/AssetShares.sol";
import {Assets} from "../src/Assets.sol";
import {Attestations} from "../src/Attestations.sol";
import {Settlement} from "../src/Settlement.sol";
import {SharesFactory} from "../src/SharesFactory.sol";
import {IFinals} from "../src/interfaces/IFinals.sol";
import {Market} from "./support/Market.sol";
import {Leaf, Tree} from "./support/Tree.sol";

/// @dev Shares on a whole network: what verifiers make final pays the builder and the holders.
contract SharesJourneyTest is Market {
    using Tree for Leaf[];

    address internal constant BUILDER = address(0xB1);
    address internal constant ANA = address(0xA1);
    address internal constant BEN = address(0xA2);

    AssetShares internal shares;
    bytes32 internal roof;

    function setUp() public override {
        super.setUp();
        roof = assets.register(Assets.Registration(BUILDER, 1, abi.encode(bytes32("roof")), "energy", 7, 5_000));
        Attestations attestations = new Attestations(AUTHORITY, new bytes32[](0), new address[](0));
        SharesFactory factory =
            new SharesFactory(IFinals(address(settlement)), attestations, assets, payment(), token);
        AssetShares.Terms memory t;
        (t.name, t.symbol, t.builder, t.softCap, t.hardCap) = ("Roof", "ROOF", BUILDER, 600, 1_000);
        (t.raiseEnd, t.buildEnd) = (uint40(GENESIS), uint40(GENESIS) + 90 days);
        t.milestones = new AssetShares.Milestone[](1);
        t.milestones[0] = AssetShares.Milestone(roof, 10_000, 512, 1);
        vm.prank(BUILDER);
        shares = AssetShares(factory.create(t, 0));
        paysIn(ANA, 600);
        paysIn(BEN, 400);
        vm.prank(BUILDER);
        assets.transferFrom(BUILDER, address(shares), uint256(roof));
        vm.warp(GENESIS);
    }

    function paysIn(address person, uint256 amount) internal {
        coin.mint(person, amount);
        vm.startPrank(person);
        coin.approve(address(shares), amount);
        shares.contribute(amount);
        vm.stopPrank();
    }

    /// @dev The roof is the only asset, and its owner, the share contract, the only account.
    function settlesFor(uint256 rewards, uint256 fees, uint256 units, uint256 paidEpochs) internal {
        Leaf[] memory leaves = new Leaf[](1);
        leaves[0] = Leaf(address(shares), rewards, fees);
        (,, uint128 before,,) = settlement.finals();
        opens(next());
        Settlement.EpochRoot memory r = draft(leaves.root(), rewards - before);
        r.assetRoot =
            keccak256(abi.encodePacked(keccak256(abi.encode(roof, units, rewards, fees, paidEpochs))));
        proposes(r, 3);
        finalizes(r);
    }

    function test_milestoneIsProvedAndEarningsAreShared() public {
        bytes32[] memory none = new bytes32[](0);
        earns(1_000);
        settlesFor(500, 1_000, 511, 1);
        vm.expectRevert(abi.encodeWithSelector(AssetShares.AssetShares_NotReached.selector, 511, 1));
        shares.release(0, 511, 500, 1_000, 1, none);
        settlement.claimFees(address(shares), 500, 1_000, none);
        settlesFor(700, 1_000, 512, 2);
        shares.release(0, 512, 700, 1_000, 2, none);
        settlement.claimRewards(address(shares), 700, 1_000, none);
        vm.assertEq(coin.balanceOf(BUILDER), 1_000);
        vm.assertEq(shares.withdraw(ANA, payment()), 600);
        vm.assertEq(shares.withdraw(ANA, token), 420);
        vm.assertEq(shares.withdraw(BEN, payment()), 400);
        vm.assertEq(shares.withdraw(BEN, token), 280);
        vm.assertEq(coin.balanceOf(address(shares)), 0);
        vm.assertEq(token.balanceOf(address(shares)), 0);
    }
}
