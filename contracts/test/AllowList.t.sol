// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {AllowList} from "../src/AllowList.sol";
import {IWeights} from "../src/interfaces/IWeights.sol";
import {Test} from "./Vm.sol";

contract AllowListTest is Test {
    uint64 internal constant GENESIS = 1_700_000_000;
    uint32 internal constant EPOCH = 1 days;
    address internal constant AUTHORITY = address(0xA0);
    address internal constant CHALLENGES = address(0xC4);
    address internal constant ONE = address(0x11);
    address internal constant TWO = address(0x22);
    address internal constant THREE = address(0x33);

    AllowList internal allowed;

    function setUp() public {
        vm.warp(GENESIS - 1 days);
        allowed = made(three(), weighing(5, 7, 9));
    }

    function made(address[] memory signers, uint96[] memory weights) internal returns (AllowList) {
        return new AllowList(AUTHORITY, CHALLENGES, GENESIS, EPOCH, signers, weights);
    }

    function three() internal pure returns (address[] memory signers) {
        signers = new address[](3);
        (signers[0], signers[1], signers[2]) = (ONE, TWO, THREE);
    }

    function weighing(uint96 a, uint96 b, uint96 c) internal pure returns (uint96[] memory weights) {
        weights = new uint96[](3);
        (weights[0], weights[1], weights[2]) = (a, b, c);
    }

    function two(address a, address b) internal pure returns (address[] memory signers) {
        signers = new address[](2);
        (signers[0], signers[1]) = (a, b);
    }

    function weighingTwo(uint96 a, uint96 b) internal pure returns (uint96[] memory weights) {
        weights = new uint96[](2);
        (weights[0], weights[1]) = (a, b);
    }

    function sets(address[] memory signers, uint96[] memory weights) internal {
        vm.prank(AUTHORITY);
        allowed.set(signers, weights);
    }

    function goesTo(uint256 epoch) internal {
        vm.warp(GENESIS + epoch * EPOCH);
    }

    function requireWeights(uint32 epoch, uint256 one, uint256 second, uint256 third) internal view {
        vm.assertEq(allowed.weightOf(ONE, epoch), one);
        vm.assertEq(allowed.weightOf(TWO, epoch), second);
        vm.assertEq(allowed.weightOf(THREE, epoch), third);
        vm.assertEq(allowed.totalWeight(epoch), one + second + third);
    }

    function test_deploy_weighsFromEpochZero() public {
        address where = vm.computeCreateAddress(address(this), vm.getNonce(address(this)));
        vm.expectEmit(where);
        emit AllowList.SignersSet(0, three(), weighing(5, 7, 9));
        made(three(), weighing(5, 7, 9));
        requireWeights(0, 5, 7, 9);
        requireWeights(1_000, 5, 7, 9);
        vm.assertEq(allowed.weightOf(address(0x44), 0), 0);
    }

    function test_set_beforeGenesisActsFromEpochZero() public {
        sets(two(ONE, TWO), weighingTwo(1, 2));
        requireWeights(0, 1, 2, 0);
    }

    function test_set_actsFromTheNextEpochAndKeepsThePast() public {
        goesTo(4);
        vm.expectEmit(address(allowed));
        emit AllowList.SignersSet(5, two(ONE, THREE), weighingTwo(1, 1));
        sets(two(ONE, THREE), weighingTwo(1, 1));
        requireWeights(3, 5, 7, 9);
        requireWeights(4, 5, 7, 9);
        requireWeights(5, 1, 0, 1);
        goesTo(9);
        sets(three(), weighing(2, 2, 2));
        requireWeights(4, 5, 7, 9);
        requireWeights(9, 1, 0, 1);
        requireWeights(10, 2, 2, 2);
        (uint32 from, address[] memory signers, uint96[] memory weights) = allowed.list();
        vm.assertEq(from, 10);
        vm.assertEq(signers.length, 3);
        vm.assertEq(weights[2], 2);
    }

    function test_set_replacesWhatDoesNotActYet() public {
        goesTo(4);
        sets(two(ONE, THREE), weighingTwo(1, 1));
        sets(two(TWO, THREE), weighingTwo(3, 4));
        requireWeights(4, 5, 7, 9);
        requireWeights(5, 0, 3, 4);
    }

    function test_set_onlyTheAuthority() public {
        vm.expectRevert(abi.encodeWithSelector(AllowList.AllowList_NotAuthority.selector, address(this), AUTHORITY));
        allowed.set(three(), weighing(1, 1, 1));
        vm.expectRevert(abi.encodeWithSelector(AllowList.AllowList_NotAuthority.selector, ONE, AUTHORITY));
        vm.prank(ONE);
        allowed.set(three(), weighing(1, 1, 1));
    }

    function test_set_revertsOnOrderTwiceOrNobody() public {
        vm.expectRevert(abi.encodeWithSelector(AllowList.AllowList_NotAscending.selector, TWO, ONE));
        sets(two(TWO, ONE), weighingTwo(1, 1));
        vm.expectRevert(abi.encodeWithSelector(AllowList.AllowList_NotAscending.selector, TWO, TWO));
        sets(two(TWO, TWO), weighingTwo(1, 1));
        vm.expectRevert(abi.encodeWithSelector(AllowList.AllowList_NotAscending.selector, address(0), address(0)));
        sets(two(address(0), TWO), weighingTwo(1, 1));
    }

    function test_set_revertsOnCountOrWeightZero() public {
        uint256 most = allowed.MAX_SIGNERS();
        vm.expectRevert(abi.encodeWithSelector(AllowList.AllowList_Count.selector, 3, 2, most));
        sets(three(), weighingTwo(1, 1));
        vm.expectRevert(abi.encodeWithSelector(AllowList.AllowList_Count.selector, most + 1, most + 1, most));
        sets(new address[](most + 1), new uint96[](most + 1));
        vm.expectRevert(abi.encodeWithSelector(AllowList.AllowList_Weightless.selector, TWO));
        sets(two(ONE, TWO), weighingTwo(1, 0));
    }

    function test_weigh_sumsAndTotals() public {
        (uint256 sum, uint256 total) = allowed.weigh(two(ONE, THREE), 0);
        vm.assertEq(sum, 14);
        vm.assertEq(total, 21);
        vm.expectRevert(abi.encodeWithSelector(IWeights.Weights_Weightless.selector, address(0x44), uint32(0)));
        allowed.weigh(two(ONE, address(0x44)), 0);
    }

    function test_leadOf_rotates() public {
        vm.assertEq(allowed.leadOf(0), ONE);
        vm.assertEq(allowed.leadOf(4), TWO);
        goesTo(4);
        sets(two(ONE, THREE), weighingTwo(1, 1));
        vm.assertEq(allowed.leadOf(4), TWO);
        goesTo(5);
        vm.assertEq(allowed.leadOf(4), ONE);
        vm.assertEq(allowed.leadOf(type(uint256).max), THREE);
        sets(new address[](0), new uint96[](0));
        goesTo(6);
        vm.assertEq(allowed.leadOf(0), address(0));
    }

    function test_forfeit_losesTheSeatFromTheNextEpoch() public {
        goesTo(4);
        vm.expectEmit(address(allowed));
        emit AllowList.Forfeited(TWO);
        vm.expectEmit(address(allowed));
        emit AllowList.SignersSet(5, two(ONE, THREE), weighingTwo(5, 9));
        vm.prank(CHALLENGES);
        allowed.forfeit(TWO);
        requireWeights(4, 5, 7, 9);
        requireWeights(5, 5, 0, 9);
        vm.expectRevert(abi.encodeWithSelector(AllowList.AllowList_NotListed.selector, TWO));
        vm.prank(CHALLENGES);
        allowed.forfeit(TWO);
    }

    function test_forfeit_alsoFromAListThatDoesNotActYet() public {
        goesTo(4);
        sets(two(ONE, TWO), weighingTwo(3, 4));
        vm.prank(CHALLENGES);
        allowed.forfeit(ONE);
        requireWeights(4, 5, 7, 9);
        requireWeights(5, 0, 4, 0);
    }

    function test_forfeit_onlyTheChallenges() public {
        vm.expectRevert(abi.encodeWithSelector(AllowList.AllowList_NotChallenges.selector, AUTHORITY, CHALLENGES));
        vm.prank(AUTHORITY);
        allowed.forfeit(ONE);
    }

    function test_nothingIsHeld() public view {
        vm.assertEq(allowed.stakeOf(ONE), 0);
        vm.assertEq(allowed.heldOf(ONE), 0);
        vm.assertEq(allowed.slash(ONE, 5), 0);
        vm.assertEq(allowed.ownerOfSigner(ONE), ONE);
        vm.assertEq(allowed.ownerOfSigner(address(0x44)), address(0));
        vm.assertEq(allowed.answerableSeconds(), type(uint64).max);
    }
}
