// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Challenges} from "../src/Challenges.sol";
import {Channels} from "../src/Channels.sol";
import {Minter} from "../src/Minter.sol";
import {Settlement} from "../src/Settlement.sol";
import {Stake} from "../src/Stake.sol";
import {IChallenges} from "../src/interfaces/IChallenges.sol";
import {Governed} from "./support/Governed.sol";
import {Leaf, Tree} from "./support/Tree.sol";

/// @dev A new Settlement takes over from the old one, with everything that stands around it.
contract SuccessionTest is Governed {
    using Tree for Leaf[];

    address internal constant HOST = address(0x4057);

    Settlement internal old;
    Settlement internal heir;
    Challenges internal heirs;

    function setUp() public override {
        super.setUp();
        old = settlement;
        Settlement.Parties memory p = parties(address(channels), address(0));
        p.predecessor = old;
        p.challenges = IChallenges(vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 1));
        heir = new Settlement(p, clock(), "unused", "unused");
        heirs = new Challenges(
            Challenges.Config(heir, token, stake, authority(), guardian(), CHALLENGE_BOND, DATA_FEE)
        );
    }

    /// @dev What one vote announces: all three pointers.
    function announcement() internal view returns (Motion memory m) {
        m.targets = new address[](3);
        m.values = new uint256[](3);
        m.calls = new bytes[](3);
        (m.targets[0], m.targets[1], m.targets[2]) = (address(minter), address(channels), address(stake));
        m.calls[0] = abi.encodeCall(minter.announce, (address(heir)));
        m.calls[1] = abi.encodeCall(channels.announce, (address(heir)));
        m.calls[2] = abi.encodeCall(stake.announce, (address(heirs)));
        m.text = "a new settlement";
    }

    function announces() internal {
        Motion memory m = announcement();
        for (uint256 i = 0; i < 3; ++i) {
            vm.prank(address(timelock));
            (bool done,) = m.targets[i].call(m.calls[i]);
            vm.assertTrue(done);
        }
    }

    function switches() internal {
        vm.warp(block.timestamp + REPLACE);
        minter.replace();
        channels.replace();
        stake.replace();
        heir.begin();
    }

    function oneLeaf(uint256 rewards, uint256 fees) internal pure returns (Leaf[] memory leaves) {
        leaves = new Leaf[](1);
        leaves[0] = Leaf(HOST, rewards, fees);
    }

    /// @dev A vote, the wait, the switch; before and after it hosts are paid to the unit.
    function test_replacement_endToEnd() public {
        funds(CUSTOMER, 10_000);
        vm.warp(GENESIS);
        redeems(voucher(lane(1_000), 1, 1_000));
        feesGrowth = 600;
        Leaf[] memory first = pays(oneLeaf(40e18, 600), 40e18);
        Motion memory m = announcement();
        carries(ALICE, m);
        executes(m);
        redeems(voucher(lane(200), 1, 200));
        switches();
        vm.assertEq(heir.inherited(), 950 + 190 - 600);
        vm.assertEq(coin.balanceOf(address(heir)), heir.inherited());
        (bytes32 root, bytes32 stateRoot, uint128 rewards, uint128 fees, uint32 from) = heir.finals();
        (, bytes32 oldState,,,) = old.finals();
        vm.assertEq(root, 0);
        vm.assertEq(stateRoot, oldState);
        vm.assertEq(uint256(rewards) + fees, 0);
        vm.assertEq(from, 1);
        vm.assertEq(heir.policyAt(1), POLICY);

        redeems(voucher(lane(300), 1, 300));
        (settlement, challenges) = (heir, heirs);
        feesGrowth = 950 + 190 - 600 + 285;
        Leaf[] memory second = oneLeaf(7e18, feesGrowth);
        settles(20, second.root(), 7e18);
        claims(second, 0);
        settlement.claimFees(HOST, 7e18, second[0].fees, second.proof(0));
        settlement = old;
        claims(first, 0);
        settlement.claimFees(HOST, 40e18, 600, first.proof(0));
        vm.assertEq(token.balanceOf(HOST), 47e18);
        vm.assertEq(coin.balanceOf(HOST), 950 + 190 + 285);
        vm.assertEq(coin.balanceOf(address(old)) + coin.balanceOf(address(heir)), 0);
    }

    function test_D51_whatIsPendingInTheOldOneIsVoid() public {
        announces();
        vm.warp(block.timestamp + REPLACE - 1 hours);
        opens(0);
        Settlement.EpochRoot memory r = draft("root", 5e18);
        proposes(r, 3);
        (,, uint64 deadline,,) = settlement.pending();
        vm.warp(deadline);
        minter.replace();
        vm.expectRevert(
            abi.encodeWithSelector(Minter.Minter_NotSettlement.selector, address(old), address(heir))
        );
        old.finalize(r);
        channels.replace();
        stake.replace();
        heir.begin();
        (settlement, challenges) = (heir, heirs);
        settles(3, "root", 5e18);
        vm.assertEq(token.balanceOf(address(heir)), 5e18);
        vm.assertEq(token.balanceOf(address(old)), 0);
    }

    function test_D51_nothingBeforeTheSwitch() public {
        announces();
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_NotServed.selector, address(old)));
        heir.begin();
        vm.warp(block.timestamp + REPLACE - 1);
        address[3] memory pointers = [address(minter), address(channels), address(stake)];
        for (uint256 i = 0; i < 3; ++i) {
            (bool done,) = pointers[i].call(abi.encodeCall(minter.replace, ()));
            vm.assertFalse(done);
        }
        settlement = heir;
        address opener = stake.leadOf(0);
        vm.expectRevert();
        vm.prank(opener);
        settlement.open(0, 0, 0, books(0, 0), uint64(block.number - 1));
        settlement = old;
        settles(0, "root", 5e18);
        vm.assertEq(token.balanceOf(address(old)), 5e18);
    }

    /// @dev Anyone can put the pointers in force, in any order: no unit is counted for both or for none.
    function test_D51_pointersMoveInAnyOrder() public {
        funds(CUSTOMER, 10_000);
        vm.warp(GENESIS);
        redeems(voucher(lane(1_000), 1, 1_000));
        announces();
        vm.warp(block.timestamp + REPLACE);
        channels.replace();
        redeems(voucher(lane(200), 1, 200));
        minter.replace();
        heir.begin();
        vm.assertEq(heir.inherited(), 950);
        vm.assertEq(coin.balanceOf(address(heir)), 950 + 190);
        vm.assertEq(channels.redeemed(address(heir)), 190);
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_Begun.selector, 0));
        heir.begin();
    }

    function test_D51_whatArrivesLateIsCollected() public {
        funds(CUSTOMER, 10_000);
        vm.warp(GENESIS);
        announces();
        vm.warp(block.timestamp + REPLACE);
        minter.replace();
        heir.begin();
        redeems(voucher(lane(200), 1, 200));
        vm.assertEq(coin.balanceOf(address(old)), 190);
        heir.collect();
        vm.assertEq(heir.inherited(), 190);
        heir.collect();
        vm.assertEq(heir.inherited(), 190);
        vm.assertEq(coin.balanceOf(address(old)), 0);
    }

    /// @dev Who disagrees with an announcement is out, with everything, before it can act.
    function test_replacement_whoDisagreesIsOutBefore() public {
        funds(CUSTOMER, 1_000);
        vm.warp(GENESIS);
        Channels.Lane memory l = lane(1_000);
        announces();
        vm.prank(CUSTOMER);
        channels.revokeLane(l);
        vm.prank(owners[0]);
        stake.exit();
        vm.warp(block.timestamp + REPLACE - 1);
        channels.closeLane(l);
        vm.prank(CUSTOMER);
        channels.withdraw(1_000);
        vm.prank(owners[0]);
        stake.withdraw();
        vm.assertEq(coin.balanceOf(CUSTOMER), 1_000);
        vm.assertEq(token.balanceOf(owners[0]), BOND);
        vm.expectRevert();
        minter.replace();
    }

    function test_replacement_newChallengesPunishForTheHeir() public {
        announces();
        switches();
        bytes32 a = heir.digestOf(1, 0, 0, "a");
        bytes32 b = heir.digestOf(1, 0, 0, "b");
        (bytes32 r, bytes32 vs) = compact(keys[0], a);
        (bytes32 r2, bytes32 vs2) = compact(keys[0], b);
        heirs.slashEquivocation(1, 0, 0, "a", r, vs, "b", r2, vs2);
        vm.assertEq(stake.forfeited(), BOND);
        (r, vs) = compact(keys[1], old.digestOf(1, 0, 0, "a"));
        (r2, vs2) = compact(keys[1], old.digestOf(1, 0, 0, "b"));
        vm.expectRevert(abi.encodeWithSelector(Stake.Stake_NotSlasher.selector, address(challenges)));
        challenges.slashEquivocation(1, 0, 0, "a", r, vs, "b", r2, vs2);
    }
}
