// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Settlement} from "../../src/Settlement.sol";
import {IBudget} from "../../src/interfaces/IBudget.sol";
import {IChallenges} from "../../src/interfaces/IChallenges.sol";
import {IRevenue} from "../../src/interfaces/IRevenue.sol";
import {IWeights} from "../../src/interfaces/IWeights.sol";
import {Test} from "../Vm.sol";

/// @dev As much of a token as claims ask for.
contract Purse {
    mapping(address account => uint256) public balanceOf;

    function transfer(address to, uint256 amount) external returns (bool) {
        balanceOf[to] += amount;
        return true;
    }
}

/// @dev Stands in for everyone whom a claim does not ask.
contract Nobody {
    function answerableSeconds() external pure returns (uint64) {
        return type(uint64).max;
    }
}

/// @dev Proved by halmos for all arguments: `make analysis`. Roots and totals are put into storage, as if they had become final.
contract SettlementProperties is Test {
    uint256 private constant ROOT_SLOT = 2;
    uint256 private constant REWARDS_SLOT = 5;
    Settlement private settlement;
    Purse private token;

    function setUp() public {
        token = new Purse();
        address nobody = address(new Nobody());
        Settlement.Clock memory clock = Settlement.Clock({
            genesis: 0,
            epochSeconds: 1 days,
            graceSeconds: 600,
            sealSeconds: 1800,
            attemptSeconds: 3600,
            challengeSeconds: 6 hours,
            reconfirmSeconds: 1 days,
            governanceSeconds: 7 days
        });
        settlement = new Settlement(
            Settlement.Parties({
                token: IERC20(address(token)),
                payment: IERC20(address(token)),
                budget: IBudget(nobody),
                weights: IWeights(nobody),
                revenue: IRevenue(address(0)),
                authority: nobody,
                challenges: IChallenges(nobody),
                predecessor: Settlement(address(0))
            }),
            clock,
            0,
            0
        );
    }

    function check_aLeafIsPaidOnce(address account, uint128 rewards, uint128 fees) external {
        _final(_leaf(account, rewards, fees), rewards);
        bytes32[] memory proof = new bytes32[](0);
        settlement.claimRewards(account, rewards, fees, proof);
        assert(token.balanceOf(account) == rewards);
        (bool again,) = address(settlement).call(abi.encodeCall(Settlement.claimRewards, (account, rewards, fees, proof)));
        assert(token.balanceOf(account) == rewards);
        assert(!again || rewards == 0);
    }

    function check_aTotalThatGrewIsPaidByWhatItGrew(address account, uint128 before, uint128 now_, uint128 fees) external {
        bytes32[] memory proof = new bytes32[](0);
        _final(_leaf(account, before, fees), before);
        settlement.claimRewards(account, before, fees, proof);
        _finalRoot(_leaf(account, now_, fees), now_, before);
        (bool paid,) = address(settlement).call(abi.encodeCall(Settlement.claimRewards, (account, now_, fees, proof)));
        assert(token.balanceOf(account) == (paid ? now_ : before));
        assert(!paid || now_ >= before);
    }

    function check_onlyTheLeafClaims(
        address account,
        uint256 rewards,
        uint256 fees,
        address claimed,
        uint256 claimedRewards,
        uint256 claimedFees
    ) external {
        _final(_leaf(account, rewards, fees), type(uint128).max);
        settlement.claimRewards(claimed, claimedRewards, claimedFees, new bytes32[](0));
        assert(claimed == account && claimedRewards == rewards && claimedFees == fees);
    }

    function check_claimsStayWithinTheTotal(address account, address other, uint128 rewards, uint128 more, uint128 total) external {
        vm.assume(account != other);
        bytes32 leaf = _leaf(account, rewards, 0);
        bytes32 next = _leaf(other, more, 0);
        _final(leaf < next ? keccak256(abi.encode(leaf, next)) : keccak256(abi.encode(next, leaf)), total);
        bytes32[] memory proof = new bytes32[](1);
        proof[0] = next;
        settlement.claimRewards(account, rewards, 0, proof);
        proof[0] = leaf;
        settlement.claimRewards(other, more, 0, proof);
        assert(uint256(rewards) + more <= total);
    }

    function _final(bytes32 root, uint128 total) private {
        _finalRoot(root, total, 0);
        (bytes32 found,, uint128 rewards,,) = settlement.finals();
        assert(found == root && rewards == total);
    }

    function _finalRoot(bytes32 root, uint128 total, uint128 paid) private {
        vm.store(address(settlement), bytes32(ROOT_SLOT), root);
        vm.store(address(settlement), bytes32(REWARDS_SLOT), bytes32(uint256(total) | (uint256(paid) << 128)));
    }

    function _leaf(address account, uint256 rewards, uint256 fees) private pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(account, rewards, fees))));
    }
}
