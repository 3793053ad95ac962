// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Challenges} from "../src/Challenges.sol";
import {Guardian} from "../src/Guardian.sol";
import {Minter} from "../src/Minter.sol";
import {Settlement} from "../src/Settlement.sol";
import {IPausable} from "../src/interfaces/IPausable.sol";
import {Governed} from "./support/Governed.sol";

contract GuardianTest is Governed {
    function pauses() internal {
        vm.prank(KEYHOLDER);
        guard.pauseMinting();
    }

    function test_deploy_atMostEighteenMonths() public {
        uint64 latest = uint64(block.timestamp + 548 days);
        vm.expectRevert(abi.encodeWithSelector(Guardian.Guardian_TooLong.selector, latest + 1, latest));
        new Guardian(KEYHOLDER, latest + 1, IPausable(minter), challenges);
        vm.assertEq(new Guardian(KEYHOLDER, latest, IPausable(minter), challenges).UNTIL(), latest);
    }

    function test_onlyTheKeyholder() public {
        address[3] memory others = [address(this), address(timelock), owners[0]];
        for (uint256 i = 0; i < 3; ++i) {
            bytes memory why =
                abi.encodeWithSelector(Guardian.Guardian_NotKeyholder.selector, others[i], KEYHOLDER);
            vm.expectRevert(why);
            vm.prank(others[i]);
            guard.pauseMinting();
            vm.expectRevert(why);
            vm.prank(others[i]);
            guard.challenge(0, 0, "mine");
        }
    }

    function test_keyholderGoesThroughTheGuardian() public {
        vm.expectRevert(abi.encodeWithSelector(Minter.Minter_NotGuardian.selector, KEYHOLDER, address(guard)));
        vm.prank(KEYHOLDER);
        minter.pause();
    }

    /// @dev A final result waits a week for its rewards, and nothing else waits: claims of what is final, exits, withdrawals.
    function test_pause_holdsUpMintingAndNothingElse() public {
        settles(0, "root", 5e18);
        opens(1);
        Settlement.EpochRoot memory r = draft("next", 7e18);
        proposes(r, 3);
        (,, uint64 deadline,,) = settlement.pending();
        vm.warp(deadline);
        pauses();
        vm.expectRevert(
            abi.encodeWithSelector(Minter.Minter_Paused.selector, block.timestamp, block.timestamp + 7 days)
        );
        settlement.finalize(r);
        vm.prank(owners[0]);
        stake.exit();
        vm.warp(block.timestamp + 7 days);
        settlement.finalize(r);
        vm.assertEq(token.balanceOf(address(settlement)), 12e18);
    }

    function test_J87_pauseNotTwiceInThirtyDays() public {
        pauses();
        uint256 earliest = block.timestamp + 30 days;
        vm.warp(earliest - 1);
        vm.expectRevert(abi.encodeWithSelector(Minter.Minter_PausedTooOften.selector, earliest - 1, earliest));
        pauses();
        vm.warp(earliest);
        pauses();
    }

    function test_challenge_withoutABond() public {
        opens(0);
        Settlement.EpochRoot memory r = draft("root", 5e18);
        proposes(r, 3);
        vm.prank(KEYHOLDER);
        guard.challenge(0, 0, "row 7 differs");
        vm.assertEq(uint256(settlement.phase()), uint256(Settlement.Phase.CHALLENGED));
        vm.assertEq(token.balanceOf(address(challenges)), 0);
        proposes(r, 3);
        finalizes(r);
        vm.assertEq(token.balanceOf(address(settlement)), 5e18);
    }

    function test_J87_nothingAfterItsTime() public {
        uint64 until = guard.UNTIL();
        vm.warp(until - 1);
        pauses();
        vm.warp(until);
        bytes memory why = abi.encodeWithSelector(Guardian.Guardian_Over.selector, until, until);
        vm.expectRevert(why);
        pauses();
        vm.expectRevert(why);
        vm.prank(KEYHOLDER);
        guard.challenge(0, 0, "late");
    }

    function test_nobodyIsNobody() public {
        Guardian none = new Guardian(address(0), uint64(block.timestamp + 1 days), IPausable(minter), challenges);
        vm.expectRevert(
            abi.encodeWithSelector(Guardian.Guardian_NotKeyholder.selector, address(this), address(0))
        );
        none.pauseMinting();
        vm.assertEq(address(none.CHALLENGES()), address(challenges));
        vm.assertEq(Challenges(none.CHALLENGES()).GUARDIAN(), address(guard));
    }
}
