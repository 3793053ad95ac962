// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Minter} from "../../src/Minter.sol";
import {Token} from "../../src/Token.sol";
import {Test} from "../Vm.sol";

/// @dev As much of a token as a minter asks for, so that proofs speak of the minter alone.
contract Supply {
    uint256 public constant CAP = 1e30;
    uint256 public totalSupply;

    function mint(address, uint256 amount) external {
        totalSupply += amount;
    }
}

/// @dev Proved by halmos for all arguments: `make analysis`. Two periods of 64 epochs of a day; the second pays half.
contract MinterProperties is Test {
    uint256 private constant FIRST_BUDGET = 100e18;
    uint256 private constant LAST_BUDGET = 50e18;
    uint32 private constant EPOCHS_PER_PERIOD = 64;
    uint128 private constant BURST = 500e18;
    uint128 private constant REFILL = 1 << 51;
    address private constant GUARDIAN = address(0x6a);
    Minter private minter;

    function setUp() public {
        uint128[] memory budgets = new uint128[](2);
        (budgets[0], budgets[1]) = (uint128(FIRST_BUDGET), uint128(LAST_BUDGET));
        bytes32[] memory pools = new bytes32[](1);
        pools[0] = "energy";
        uint16[] memory bps = new uint16[](1);
        bps[0] = 10_000;
        minter = new Minter(
            Token(address(new Supply())),
            address(this),
            address(0xa),
            GUARDIAN,
            30 days,
            Minter.Schedule(0, 1 days, EPOCHS_PER_PERIOD, budgets),
            Minter.Breaker(BURST, REFILL),
            pools,
            bps
        );
    }

    function check_aRangeMintsAtMostItsSchedule(uint32 first, uint32 last, uint256 amount) external {
        minter.mint(first, last, amount);
        uint256 most = first < EPOCHS_PER_PERIOD ? FIRST_BUDGET : first < 2 * EPOCHS_PER_PERIOD ? LAST_BUDGET : 0;
        assert(amount <= (uint256(last) - first + 1) * most);
    }

    function check_theBreakerHoldsOverAnyTwoMints(uint256 amount, uint256 nextAmount, uint40 time, uint40 later) external {
        vm.assume(later >= time);
        vm.warp(time);
        minter.mint(0, 7, amount);
        vm.warp(later);
        minter.mint(8, 15, nextAmount);
        assert(amount + nextAmount <= BURST + uint256(REFILL) * (later - time));
    }

    function check_noEpochMintsTwice(uint32 first, uint32 last) external {
        minter.mint(5, 7, 1);
        minter.mint(first, last, 1);
        assert(first > 7);
    }

    function check_nobodyElseMints(address sender, uint32 first, uint32 last, uint256 amount) external {
        vm.assume(sender != address(this));
        vm.prank(sender);
        (bool minted,) = address(minter).call(abi.encodeCall(Minter.mint, (first, last, amount)));
        assert(!minted);
    }

    function check_aPauseEndsAfterSevenDaysAndComesOnceInThirty(uint40 time, uint40 later) external {
        vm.assume(later >= time && time != 0);
        vm.warp(time);
        vm.prank(GUARDIAN);
        minter.pause();
        vm.warp(later);
        vm.prank(GUARDIAN);
        (bool again,) = address(minter).call(abi.encodeCall(Minter.pause, ()));
        assert(again == (later >= uint256(time) + 30 days));
        if (!again) assert((later < minter.pausedUntil()) == (later < uint256(time) + 7 days));
    }
}
