// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Challenges} from "../../src/Challenges.sol";
import {Settlement} from "../../src/Settlement.sol";
import {Market} from "./Market.sol";

/// @dev The steps of a dispute about the next range.
abstract contract Disputes is Market {
    bytes32 internal constant RIGHT = keccak256("right");
    bytes32 internal constant WRONG = keccak256("wrong");
    address internal constant DOUBTER = address(0xD0);
    address internal constant ESCALATOR = address(0xE5);
    address internal constant NOWHERE = 0x000000000000000000000000000000000000dEaD;

    /// @dev The next epoch's range, proposed by all three verifiers.
    function stands(bytes32 root) internal returns (Settlement.EpochRoot memory r) {
        return stands(root, 1);
    }

    function stands(bytes32 root, uint256 growth) internal returns (Settlement.EpochRoot memory r) {
        opens(next());
        r = draft(root, growth);
        proposes(r, 3);
    }

    function attempt() internal view returns (uint32 a) {
        (a,,,,) = settlement.pending();
    }

    /// @dev Gives `who` bond tokens and lets the challenges take them.
    function arms(address who, uint256 amount) internal {
        token.transfer(who, amount);
        vm.prank(who);
        token.approve(address(challenges), type(uint256).max);
    }

    function doubts(address who) internal {
        arms(who, challenges.bondNow());
        uint32 first = next();
        uint32 a = attempt();
        vm.prank(who);
        challenges.challenge(first, a, "other root");
    }

    function escalates(address who) internal {
        arms(who, 4 * uint256(CHALLENGE_BOND));
        uint32 first = next();
        uint32 a = attempt();
        vm.prank(who);
        challenges.escalate(first, a);
    }

    function strikes(uint16 bps) internal {
        uint32 first = next();
        uint32 a = attempt();
        vm.prank(AUTHORITY);
        challenges.strike(first, a, bps);
    }

    /// @dev From a pending result of round 0 to its confirmation in round 1.
    function confirms(Settlement.EpochRoot memory r) internal {
        doubts(DOUBTER);
        proposes(r, 3);
    }

    function phaseIs(Settlement.Phase phase) internal view {
        vm.assertEq(uint256(settlement.phase()), uint256(phase));
    }

    function rejects() internal {
        vm.warp(runsUntil());
        settlement.reject();
    }

    /// @dev A Settlement of its own, whose bonds are in `bonds`; the budget does not serve it.
    function bondsIn(IERC20 bonds) internal {
        address challengesAt = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 1);
        settlement = new Settlement(parties(address(channels), challengesAt), clock(), STATE, POLICY);
        challenges = new Challenges(
            Challenges.Config(settlement, bonds, stake, AUTHORITY, GUARDIAN, CHALLENGE_BOND, DATA_FEE)
        );
    }

    function voteOf(uint256 key, uint32 first, uint32 a, uint32 round, bytes32 result)
        internal
        view
        returns (bytes32 r, bytes32 vs)
    {
        return compact(key, settlement.digestOf(first, a, round, result));
    }

    function outcomeOf(uint32 first, uint32 a) internal view returns (Challenges.Outcome outcome) {
        (,,,, outcome,) = challenges.disputes(challenges.keyOf(first, a));
    }
}
