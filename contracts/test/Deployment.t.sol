// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Timelock} from "../src/Timelock.sol";
import {TestDollar} from "../src/local/TestDollar.sol";
import {Governed} from "./support/Governed.sol";

/// @dev Runs the code of others.
contract Borrower {
    function borrows(address code) external returns (bool done) {
        (done,) = code.delegatecall("");
    }
}

contract DeploymentTest is Governed {
    address internal constant FOUNDER = address(0xF0);

    /// @dev Everyone who could have been given something: whoever deployed, a founder, members, verifiers, the guardian and its keyholder.
    function everybody() internal view returns (address[8] memory) {
        return [address(this), FOUNDER, ALICE, owners[0], vm.addr(keys[0]), KEYHOLDER, address(guard), address(0)];
    }

    function test_J88_nobodyHoldsARole() public view {
        bytes32[4] memory roles =
            [bytes32(0), timelock.PROPOSER_ROLE(), timelock.EXECUTOR_ROLE(), timelock.CANCELLER_ROLE()];
        for (uint256 i = 0; i < 4; ++i) {
            for (uint256 j = 0; j < 8; ++j) {
                // Execution is open to anyone: that is what the role of address 0 means.
                bool open = i == 2 && everybody()[j] == address(0);
                vm.assertTrue(timelock.hasRole(roles[i], everybody()[j]) == open);
            }
            vm.assertTrue(timelock.hasRole(roles[i], address(governor)) == (i == 1 || i == 3));
            vm.assertTrue(timelock.hasRole(roles[i], address(timelock)) == (i == 0));
        }
    }

    function test_J88_theTimelockIsEveryonesAuthority() public view {
        vm.assertEq(minter.AUTHORITY(), address(timelock));
        vm.assertEq(stake.AUTHORITY(), address(timelock));
        vm.assertEq(settlement.AUTHORITY(), address(timelock));
        vm.assertEq(challenges.AUTHORITY(), address(timelock));
        vm.assertEq(channels.AUTHORITY(), address(timelock));
        vm.assertEq(treasuryOfAll.AUTHORITY(), address(timelock));
        vm.assertEq(governor.timelock(), address(timelock));
        vm.assertEq(channels.TREASURY(), address(treasuryOfAll));
        vm.assertEq(minter.GUARDIAN(), address(guard));
        vm.assertEq(challenges.GUARDIAN(), address(guard));
    }

    /// @dev Whatever only the authority or the guardian may do, nobody else can, and nothing of it moves anyone's money.
    function test_J88_nobodyElseDoesWhatTheAuthorityMay() public {
        (bytes32[] memory pools, uint16[] memory bps) = onePool();
        address[11] memory targets = [
            address(minter),
            address(minter),
            address(minter),
            address(stake),
            address(stake),
            address(stake),
            address(settlement),
            address(challenges),
            address(channels),
            address(channels),
            address(treasuryOfAll)
        ];
        bytes[11] memory calls = [
            abi.encodeCall(minter.setWeights, (9, pools, bps)),
            abi.encodeCall(minter.announce, (FOUNDER)),
            abi.encodeCall(minter.pause, ()),
            abi.encodeCall(stake.expel, (owners[1])),
            abi.encodeCall(stake.punish, (owners[1], 1, "why")),
            abi.encodeCall(stake.announce, (FOUNDER)),
            abi.encodeCall(settlement.setPolicy, (9, "new")),
            abi.encodeCall(challenges.strike, (0, 0, 1)),
            abi.encodeCall(channels.setShare, (1_000)),
            abi.encodeCall(channels.setRatio, (1, 1)),
            abi.encodeCall(treasuryOfAll.grant, (token, FOUNDER, 1, "why"))
        ];
        for (uint256 i = 0; i < 11; ++i) {
            for (uint256 j = 0; j < 8; ++j) {
                if (everybody()[j] == address(guard) && i == 2) continue;
                vm.prank(everybody()[j]);
                (bool done,) = targets[i].call(calls[i]);
                vm.assertFalse(done);
            }
        }
    }

    function test_J88_authorityActsAfterDelay() public {
        bytes memory call = abi.encodeCall(settlement.setPolicy, (9, "new"));
        vm.prank(FOUNDER);
        vm.expectRevert();
        timelock.schedule(address(settlement), 0, call, 0, 0, EXECUTION_DELAY);
        vm.startPrank(address(governor));
        vm.expectRevert();
        timelock.schedule(address(settlement), 0, call, 0, 0, EXECUTION_DELAY - 1);
        timelock.schedule(address(settlement), 0, call, 0, 0, EXECUTION_DELAY);
        vm.stopPrank();
        vm.warp(block.timestamp + EXECUTION_DELAY - 1);
        vm.expectRevert();
        timelock.execute(address(settlement), 0, call, 0, 0);
        vm.warp(block.timestamp + 1);
        timelock.execute(address(settlement), 0, call, 0, 0);
        vm.assertEq(settlement.policyAt(9), "new");
    }

    /// @dev Each names the others: fees can only be what these channels handed over, slashes only what was proved to them.
    function test_moneyRunsInOneCircle() public view {
        vm.assertEq(address(settlement.REVENUE()), address(channels));
        vm.assertEq(address(settlement.BUDGET()), address(minter));
        vm.assertEq(address(settlement.WEIGHTS()), address(stake));
        vm.assertEq(address(settlement.CHALLENGES()), address(challenges));
        vm.assertEq(minter.settlement(), address(settlement));
        vm.assertEq(channels.settlement(), address(settlement));
        vm.assertEq(stake.CHANNELS(), address(channels));
        vm.assertEq(stake.challenges(), address(challenges));
        vm.assertEq(address(challenges.SETTLEMENT()), address(settlement));
        vm.assertEq(address(challenges.BONDS()), address(stake));
        vm.assertEq(address(channels.BONDS()), address(stake));
        vm.assertEq(address(channels.PAYMENT()), address(settlement.PAYMENT()));
        vm.assertEq(token.MINTER(), address(minter));
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
        vm.expectRevert(Timelock.Timelock_ForEver.selector);
        vm.prank(FOUNDER);
        timelock.updateDelay(0);
        vm.expectRevert(Timelock.Timelock_ForEver.selector);
        vm.prank(address(timelock));
        timelock.updateDelay(10 days);
    }

    function ours() internal view returns (address[11] memory) {
        return [
            address(token),
            address(minter),
            address(stake),
            address(assets),
            address(settlement),
            address(channels),
            address(challenges),
            address(governor),
            address(treasuryOfAll),
            address(guard),
            address(timelock)
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
        for (uint256 i = 0; i < ours().length; ++i) {
            for (uint256 j = 0; j < calls.length; ++j) {
                (bool done,) = ours()[i].call(calls[j]);
                vm.assertFalse(done);
            }
        }
    }

    /// @dev Whether `code` runs `instruction` anywhere: what PUSH carries, and solc's metadata at the end, is no instruction.
    function runs(bytes memory code, uint8 instruction) internal pure returns (bool) {
        uint256 end = code.length - 2 - (uint256(uint8(code[code.length - 2])) << 8 | uint8(code[code.length - 1]));
        for (uint256 i = 0; i < end; ++i) {
            uint8 each = uint8(code[i]);
            if (each == instruction) return true;
            if (each >= 0x60 && each <= 0x7f) i += each - 0x5f;
        }
        return false;
    }

    /// @dev So there is no implementation that could be uninitialised, taken over first, or exchanged, and no storage that could clash.
    function test_J86_nothingIsAProxy() public {
        bytes32[3] memory slots = [
            bytes32(uint256(keccak256("eip1967.proxy.implementation")) - 1),
            bytes32(uint256(keccak256("eip1967.proxy.admin")) - 1),
            bytes32(uint256(keccak256("eip1967.proxy.beacon")) - 1)
        ];
        bytes[6] memory calls = [
            abi.encodeWithSignature("implementation()"),
            abi.encodeWithSignature("proxiableUUID()"),
            abi.encodeWithSignature("upgradeTo(address)", address(0x9)),
            abi.encodeWithSignature("upgradeToAndCall(address,bytes)", address(this), ""),
            abi.encodeWithSignature("initialize(address)", address(this)),
            abi.encodeWithSignature("initialize()")
        ];
        for (uint256 i = 0; i < ours().length; ++i) {
            address each = ours()[i];
            for (uint256 j = 0; j < slots.length; ++j) {
                vm.assertEq(vm.load(each, slots[j]), bytes32(0));
            }
            for (uint256 j = 0; j < calls.length; ++j) {
                vm.prank(address(timelock));
                (bool done,) = each.call(calls[j]);
                vm.assertFalse(done);
            }
            vm.assertFalse(runs(each.code, 0xf4)); // DELEGATECALL
            vm.assertFalse(runs(each.code, 0xf2)); // CALLCODE
            vm.assertFalse(runs(each.code, 0xff)); // SELFDESTRUCT
        }
        vm.assertTrue(runs(type(Borrower).runtimeCode, 0xf4));
    }

    function test_K90_noEther() public {
        vm.deal(address(this), 1 ether);
        for (uint256 i = 0; i < ours().length; ++i) {
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
