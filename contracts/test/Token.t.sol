// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {Token} from "../src/Token.sol";
import {Test} from "./Vm.sol";

contract TokenTest is Test {
    address internal constant MINTER = address(0xA1);
    address internal constant HOLDER = address(0xB1);
    uint256 internal constant CAP = 1_000;

    Token internal token;

    function setUp() public {
        vm.warp(1_700_000_000);
        token = make(CAP, 400);
    }

    function make(uint256 cap, uint256 genesis) internal returns (Token) {
        address[] memory holders = new address[](1);
        uint256[] memory amounts = new uint256[](1);
        holders[0] = HOLDER;
        amounts[0] = genesis;
        return new Token("Subak", "SBK", cap, MINTER, holders, amounts);
    }

    function test_deploy_mintsGenesisAllocation() public view {
        vm.assertEq(token.balanceOf(HOLDER), 400);
        vm.assertEq(token.totalSupply(), 400);
        vm.assertEq(token.CAP(), CAP);
        vm.assertEq(token.MINTER(), MINTER);
        vm.assertEq(token.name(), "Subak");
        vm.assertEq(token.symbol(), "SBK");
    }

    function test_deploy_revertsAboveCap() public {
        vm.expectRevert(abi.encodeWithSelector(Token.Token_AboveCap.selector, 1_001, 1_000));
        make(CAP, 1_001);
    }

    function test_deploy_revertsIfCapTooLarge() public {
        uint256 cap = uint256(type(uint128).max) + 1;
        vm.expectRevert(abi.encodeWithSelector(Token.Token_CapTooLarge.selector, cap, type(uint128).max));
        make(cap, 0);
    }

    function test_deploy_revertsIfLengthsDiffer() public {
        vm.expectRevert(abi.encodeWithSelector(Token.Token_LengthsDiffer.selector, 1, 0));
        new Token("Subak", "SBK", CAP, MINTER, new address[](1), new uint256[](0));
    }

    function test_mint_revertsIfNotMinter() public {
        vm.expectRevert(abi.encodeWithSelector(Token.Token_NotMinter.selector, HOLDER, MINTER));
        vm.prank(HOLDER);
        token.mint(HOLDER, 1);
    }

    function test_D47_capIsHitExactly() public {
        vm.startPrank(MINTER);
        token.mint(HOLDER, 600);
        vm.assertEq(token.totalSupply(), CAP);
        vm.expectRevert(abi.encodeWithSelector(Token.Token_AboveCap.selector, 1, 0));
        token.mint(HOLDER, 1);
        vm.stopPrank();
    }

    function testFuzz_D47_supplyNeverAboveCap(uint256 first, uint256 second) public {
        vm.startPrank(MINTER);
        try token.mint(HOLDER, first % 1_200) {} catch {}
        try token.mint(HOLDER, second) {} catch {}
        vm.stopPrank();
        vm.assertLe(token.totalSupply(), CAP);
    }

    function test_D47_hugeMintReverts() public {
        vm.expectRevert(abi.encodeWithSelector(Token.Token_AboveCap.selector, type(uint256).max, 600));
        vm.prank(MINTER);
        token.mint(HOLDER, type(uint256).max);
    }

    function test_burn_takesOnesOwn() public {
        vm.prank(HOLDER);
        token.delegate(HOLDER);
        vm.prank(HOLDER);
        token.burn(150);
        vm.assertEq(token.balanceOf(HOLDER), 250);
        vm.assertEq(token.totalSupply(), 250);
        vm.assertEq(token.getVotes(HOLDER), 250);
        vm.assertEq(token.CAP(), CAP);
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InsufficientBalance.selector, HOLDER, 250, 251));
        vm.prank(HOLDER);
        token.burn(251);
    }

    function test_E55_burnOfOthersReverts() public {
        vm.prank(HOLDER);
        token.approve(address(this), 100);
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InsufficientBalance.selector, address(this), 0, 1));
        token.burn(1);
    }

    function test_votes_clockIsUnixTime() public view {
        vm.assertEq(token.clock(), block.timestamp);
        vm.assertEq(token.CLOCK_MODE(), "mode=timestamp");
    }

    function test_votes_areOfThePast() public {
        vm.prank(HOLDER);
        token.delegate(HOLDER);
        vm.warp(1_700_000_010);
        vm.prank(HOLDER);
        token.transfer(MINTER, 400);
        vm.warp(1_700_000_020);
        vm.assertEq(token.getPastVotes(HOLDER, 1_700_000_005), 400);
        vm.assertEq(token.getPastVotes(HOLDER, 1_700_000_015), 0);
    }
}
