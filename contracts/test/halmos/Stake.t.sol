// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Stake} from "../../src/Stake.sol";
import {Test} from "../Vm.sol";

/// @dev As much of a token as joining asks for.
contract Wallet {
    function transferFrom(address, address, uint256) external pure returns (bool) {
        return true;
    }
}

/// @dev Proved by halmos for all stakes: `make analysis`. Owners 0x101, 0x102, … with signers 0x201, 0x202, …
contract StakeProperties is Test {
    Stake private stake;

    function setUp() public {
        stake = new Stake(
            IERC20(address(new Wallet())), 1 days, 1 days, 1, 30 days, address(0xc), address(0xd), address(0xa), 31 days
        );
    }

    function check_belowFourNobodyIsCapped(uint96 a, uint96 b, uint96 c) external {
        _join(1, a);
        _join(2, b);
        _join(3, c);
        assert(_weight(1) == a && _weight(2) == b && _weight(3) == c);
        assert(stake.totalWeight(0) == uint256(a) + b + c);
    }

    /// @dev The others have 10, 20 and 30; with four unknown stakes the solver finds no end.
    function check_fromFourOnNobodyWeighsMoreThanAQuarterOfAllStake(uint96 a) external {
        _join(1, 10);
        _join(2, 20);
        _join(3, 30);
        _join(4, a);
        uint256 cap = (60 + uint256(a)) / 4;
        assert(_weight(1) == _least(10, cap));
        assert(_weight(2) == _least(20, cap));
        assert(_weight(3) == _least(30, cap));
        assert(_weight(4) == _least(a, cap));
        assert(stake.totalWeight(0) == _weight(1) + _weight(2) + _weight(3) + _weight(4));
    }

    function _join(uint160 number, uint96 amount) private {
        vm.prank(address(0x100 + number));
        stake.join(address(0x200 + number), amount);
    }

    function _weight(uint160 number) private view returns (uint256) {
        return stake.weightOf(address(0x200 + number), 0);
    }

    function _least(uint256 x, uint256 y) private pure returns (uint256) {
        return x < y ? x : y;
    }
}
