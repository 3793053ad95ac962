// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {Channels} from "../src/Channels.sol";
import {Settlement} from "../src/Settlement.sol";
import {TestDollar} from "../src/local/TestDollar.sol";
import {Network} from "./support/Network.sol";

contract DeploymentTest is Network {
    address internal constant FOUNDER = address(0xF0);
    uint256 internal constant DELAY = 2 days;

    TimelockController internal timelock;
    Settlement internal governed;

    function setUp() public override {
        super.setUp();
        address[] memory proposers = new address[](1);
        proposers[0] = FOUNDER;
        timelock = new TimelockController(DELAY, proposers, new address[](1), address(0));
        governed = new Settlement(
            token, IERC20(address(coin)), minter, stake, channels, address(timelock), clock(), STATE, POLICY
        );
    }

    function test_J88_nobodyHoldsARole() public view {
        bytes32[4] memory roles = [
            bytes32(0), timelock.PROPOSER_ROLE(), timelock.EXECUTOR_ROLE(), timelock.CANCELLER_ROLE()
        ];
        for (uint256 i = 0; i < 4; ++i) {
            vm.assertFalse(timelock.hasRole(roles[i], address(this)));
            vm.assertTrue(timelock.hasRole(roles[i], FOUNDER) == (i == 1 || i == 3));
            vm.assertTrue(timelock.hasRole(roles[i], address(timelock)) == (i == 0));
        }
    }

    function test_J88_authorityActsAfterDelay() public {
        bytes memory call = abi.encodeCall(governed.setPolicy, (9, "new"));
        vm.expectRevert(
            abi.encodeWithSelector(Settlement.Settlement_NotAuthority.selector, FOUNDER, address(timelock))
        );
        vm.prank(FOUNDER);
        governed.setPolicy(9, "new");
        vm.prank(FOUNDER);
        timelock.schedule(address(governed), 0, call, 0, 0, DELAY);
        vm.warp(block.timestamp + DELAY - 1);
        vm.expectRevert();
        timelock.execute(address(governed), 0, call, 0, 0);
        vm.warp(block.timestamp + 1);
        timelock.execute(address(governed), 0, call, 0, 0);
        vm.assertEq(governed.policyAt(9), "new");
    }

    function test_J88_authorityActsOnlyInBounds() public {
        Channels.Config memory c = config();
        c.authority = address(timelock);
        Channels there = new Channels(c);
        bytes memory call = abi.encodeCall(there.setShare, (10_001));
        vm.startPrank(FOUNDER);
        vm.expectRevert(
            abi.encodeWithSelector(Channels.Channels_NotAuthority.selector, FOUNDER, address(timelock))
        );
        there.setShare(1_000);
        timelock.schedule(address(there), 0, call, 0, 0, DELAY);
        vm.warp(block.timestamp + DELAY);
        vm.expectRevert(
            abi.encodeWithSelector(Channels.Channels_ShareOutOfBounds.selector, 10_001, 100, 10_000)
        );
        timelock.execute(address(there), 0, call, 0, 0);
        vm.stopPrank();
    }

    /// @dev Each names the other: fees can only be what these channels handed over, slashes only what they proved.
    function test_moneyRunsInOneCircle() public view {
        vm.assertEq(address(settlement.REVENUE()), address(channels));
        vm.assertEq(channels.SETTLEMENT(), address(settlement));
        vm.assertEq(stake.SLASHER(), address(channels));
        vm.assertEq(address(channels.BONDS()), address(stake));
        vm.assertEq(address(channels.PAYMENT()), address(settlement.PAYMENT()));
    }

    function test_testDollar_isThereFromItsFirstBlock() public {
        address[] memory holders = new address[](1);
        uint256[] memory amounts = new uint256[](1);
        (holders[0], amounts[0]) = (FOUNDER, 5e6);
        TestDollar dollar = new TestDollar(holders, amounts);
        vm.assertEq(dollar.balanceOf(FOUNDER), 5e6);
        vm.assertEq(dollar.totalSupply(), 5e6);
        vm.assertEq(dollar.decimals(), 6);
        vm.assertEq(dollar.symbol(), "TUSD");
        (bool done,) = address(dollar).call(abi.encodeWithSignature("mint(address,uint256)", FOUNDER, 1));
        vm.assertFalse(done);
        vm.expectRevert(abi.encodeWithSelector(TestDollar.TestDollar_LengthsDiffer.selector, 1, 0));
        new TestDollar(holders, new uint256[](0));
    }

    function test_J84_delayIsTheTimelocks() public {
        vm.expectRevert(
            abi.encodeWithSelector(TimelockController.TimelockUnauthorizedCaller.selector, FOUNDER)
        );
        vm.prank(FOUNDER);
        timelock.updateDelay(0);
    }

    function ours() internal view returns (address[6] memory) {
        return [
            address(token),
            address(minter),
            address(stake),
            address(assets),
            address(settlement),
            address(channels)
        ];
    }

    function test_J88_noOwnersFunctions() public {
        bytes[10] memory calls = [
            abi.encodeWithSignature("owner()"),
            abi.encodeWithSignature("admin()"),
            abi.encodeWithSignature("transferOwnership(address)", address(this)),
            abi.encodeWithSignature("pause()"),
            abi.encodeWithSignature("upgradeTo(address)", address(this)),
            abi.encodeWithSignature("upgradeToAndCall(address,bytes)", address(this), ""),
            abi.encodeWithSignature("initialize()"),
            abi.encodeWithSignature("sweep(address)", address(token)),
            abi.encodeWithSignature("recoverERC20(address,address,uint256)", address(token), address(this), 1),
            abi.encodeWithSignature("grantRole(bytes32,address)", bytes32(0), address(this))
        ];
        for (uint256 i = 0; i < 6; ++i) {
            for (uint256 j = 0; j < calls.length; ++j) {
                (bool done,) = ours()[i].call(calls[j]);
                vm.assertFalse(done);
            }
        }
    }

    function test_K90_noEther() public {
        vm.deal(address(this), 1 ether);
        for (uint256 i = 0; i < 6; ++i) {
            (bool done,) = ours()[i].call{value: 1}("");
            vm.assertFalse(done);
        }
        (bool claimed,) = address(settlement).call{value: 1}(
            abi.encodeCall(settlement.claimRewards, (address(1), 1, 0, new bytes32[](0)))
        );
        vm.assertFalse(claimed);
    }

    function test_K90_dirtyUpperBitsRevert() public {
        bytes memory call = abi.encodeCall(settlement.taken, (owners[0]));
        (bool clean,) = address(settlement).call(call);
        call[4] = 0x01;
        (bool dirty,) = address(settlement).call(call);
        vm.assertTrue(clean);
        vm.assertFalse(dirty);
    }
}
