// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Treasury} from "../src/Treasury.sol";
import {Coin} from "./support/Coin.sol";
import {Test} from "./Vm.sol";

contract TreasuryTest is Test {
    address internal constant PAYEE = address(0x9);
    Treasury internal treasury;
    Coin internal coin;

    function setUp() public {
        vm.warp(1_700_000_000);
        treasury = new Treasury(address(this));
        coin = new Coin();
        coin.mint(address(treasury), 1_000);
    }

    function refuses(uint256 amount, uint256 left) internal {
        vm.expectRevert(abi.encodeWithSelector(Treasury.Treasury_AboveCap.selector, amount, left));
        treasury.grant(coin, PAYEE, amount, "too much");
    }

    function test_grant_onlyByTheAuthority() public {
        vm.expectRevert(
            abi.encodeWithSelector(Treasury.Treasury_NotAuthority.selector, PAYEE, address(this))
        );
        vm.prank(PAYEE);
        treasury.grant(coin, PAYEE, 1, "mine");
    }

    function test_grant_paysAndTells() public {
        vm.assertEq(treasury.grantable(coin), 50);
        vm.expectEmit(address(treasury));
        emit Treasury.Granted(coin, PAYEE, 30, "for the docs");
        treasury.grant(coin, PAYEE, 30, "for the docs");
        vm.assertEq(coin.balanceOf(PAYEE), 30);
        vm.assertEq(treasury.grantable(coin), 20);
    }

    function test_J85_manyGrantsShareOneCap() public {
        treasury.grant(coin, PAYEE, 30, "a");
        refuses(21, 20);
        treasury.grant(coin, PAYEE, 20, "b");
        refuses(1, 0);
    }

    function test_J85_whatComesInDuringAPeriodWaits() public {
        treasury.grant(coin, PAYEE, 50, "a");
        coin.mint(address(treasury), 1_000_050);
        refuses(1, 0);
        vm.warp(block.timestamp + 30 days - 1);
        refuses(1, 0);
        vm.warp(block.timestamp + 1);
        vm.assertEq(treasury.grantable(coin), 50_050);
        treasury.grant(coin, PAYEE, 50_050, "b");
    }

    function test_grant_eachAssetHasItsOwnPeriod() public {
        Coin other = new Coin();
        other.mint(address(treasury), 100);
        treasury.grant(coin, PAYEE, 50, "a");
        vm.assertEq(treasury.grantable(other), 5);
        treasury.grant(other, PAYEE, 5, "b");
        vm.assertEq(treasury.grantable(other), 0);
        vm.assertEq(treasury.grantable(IERC20(address(coin))), 0);
    }

    function test_grant_ofNothingThere() public {
        Coin other = new Coin();
        vm.expectRevert(abi.encodeWithSelector(Treasury.Treasury_AboveCap.selector, 1, 0));
        treasury.grant(other, PAYEE, 1, "air");
    }

    function test_grant_nothingIsCountedIfTheAssetRefuses() public {
        coin.freeze(PAYEE);
        vm.expectRevert(abi.encodeWithSelector(Coin.Coin_Frozen.selector, PAYEE));
        treasury.grant(coin, PAYEE, 50, "a");
        vm.assertEq(treasury.grantable(coin), 50);
    }

    /// @dev Any grants at any times: never more than a twentieth of what a period began with.
    function testFuzz_J85_noPeriodGivesMoreThanItsCap(uint256[12] memory seeds) public {
        uint256 began = 0;
        uint256 given = 0;
        uint256 cap = 0;
        for (uint256 i = 0; i < seeds.length; ++i) {
            vm.warp(block.timestamp + seeds[i] % 20 days);
            coin.mint(address(treasury), (seeds[i] >> 64) % 100);
            if (began == 0 || block.timestamp >= began + 30 days) cap = coin.balanceOf(address(treasury)) / 20;
            uint256 amount = (seeds[i] >> 128) % 40;
            try treasury.grant(coin, PAYEE, amount, "fuzz") {
                if (began == 0 || block.timestamp >= began + 30 days) (began, given) = (block.timestamp, 0);
                given += amount;
            } catch {
                vm.assertTrue(given + amount > cap || block.timestamp >= began + 30 days);
            }
            vm.assertLe(given, cap);
        }
    }
}
