// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Challenges} from "../../src/Challenges.sol";
import {Settlement} from "../../src/Settlement.sol";
import {Votes} from "../../src/Votes.sol";
import {IBonds} from "../../src/interfaces/IBonds.sol";
import {Test} from "../Vm.sol";

/// @dev Remembers who lost its bond.
contract Bonds {
    address public forfeited;

    function forfeit(address signer) external {
        forfeited = signer;
    }
}

/// @dev Proved by halmos for all arguments, with signatures as an unknown function: `make analysis`.
contract ChallengesProperties is Test {
    Challenges private challenges;
    address private constant SETTLEMENT = address(0x5e);
    Bonds private bonds;

    function setUp() public {
        bonds = new Bonds();
        challenges = new Challenges(
            Challenges.Config({
                settlement: Settlement(SETTLEMENT),
                token: IERC20(address(0)),
                bonds: IBonds(address(bonds)),
                authority: address(0xa),
                guardian: address(0),
                bond: 1,
                dataFee: 0
            })
        );
    }

    /// @dev Two results of one (first, attempt, round), both by the signer that loses its bond.
    function check_onlyOneSignersTwoResultsAreEquivocation(
        uint32 first,
        uint32 attempt,
        uint32 round,
        bytes32 result,
        bytes32 r,
        bytes32 vs,
        bytes32 other,
        bytes32 otherR,
        bytes32 otherVs
    ) external {
        challenges.slashEquivocation(first, attempt, round, result, r, vs, other, otherR, otherVs);
        address signer = _recover(Votes.digestOf(SETTLEMENT, first, attempt, round, result), r, vs);
        assert(result != other);
        assert(signer != address(0));
        assert(signer == _recover(Votes.digestOf(SETTLEMENT, first, attempt, round, other), otherR, otherVs));
        assert(bonds.forfeited() == signer);
    }

    function check_nobodyButTheSettlementRules(address sender, uint32 first, uint32 attempt, bytes32 disputed, bytes32 final_)
        external
    {
        vm.assume(sender != SETTLEMENT);
        vm.prank(sender);
        (bool ruled,) = address(challenges).call(abi.encodeCall(Challenges.ruled, (first, attempt, disputed, final_)));
        assert(!ruled);
    }

    function check_nobodyButTheAuthorityStrikes(address sender, uint32 first, uint32 attempt, uint16 bps) external {
        vm.assume(sender != address(0xa));
        vm.prank(sender);
        (bool struck,) = address(challenges).call(abi.encodeCall(Challenges.strike, (first, attempt, bps)));
        assert(!struck);
    }

    function _recover(bytes32 digest, bytes32 r, bytes32 vs) private pure returns (address) {
        return ecrecover(digest, uint8(uint256(vs) >> 255) + 27, r, vs & bytes32(type(uint256).max >> 1));
    }
}
