// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Epochs} from "./Epochs.sol";
import {IBonds} from "./interfaces/IBonds.sol";
import {IWeights} from "./interfaces/IWeights.sol";

/// @title Verifiers that an authority names, for networks that have no token to bond.
/// @notice Nobody has anything at stake here: who contradicts itself loses its seat from the next epoch, and what else becomes of it the
/// authority decides. Weights are taken as they are given, without a cap.
contract AllowList is IWeights, IBonds {
    /// @dev The signers that weigh from an epoch until the next list's.
    struct List {
        uint32 from;
        uint128 total;
        address[] signers;
        uint96[] weights;
    }

    /// @notice The most signers that one list can name.
    uint256 public constant MAX_SIGNERS = 64;

    /// @notice Sets the lists.
    address public immutable AUTHORITY;

    /// @notice Whose proofs take a signer off the list.
    address public immutable CHALLENGES;
    uint64 public immutable GENESIS;
    uint32 public immutable EPOCH_SECONDS;

    /// @inheritdoc IBonds
    mapping(address signer => address) public ownerOfSigner;

    List[] private _lists;

    /// @notice Who weighs how much from an epoch on: the whole list, signers in ascending order.
    event SignersSet(uint32 fromEpoch, address[] signers, uint96[] weights);

    /// @notice A signer contradicted itself; `SignersSet` tells the list without it.
    event Forfeited(address indexed signer);

    error AllowList_NotAuthority(address sender, address authority);
    error AllowList_NotChallenges(address sender, address challenges);
    error AllowList_Count(uint256 signers, uint256 weights, uint256 most);
    error AllowList_NotAscending(address before, address signer);
    error AllowList_Weightless(address signer);
    error AllowList_NotListed(address signer);

    /// @param authority the only account that sets the lists
    /// @param challenges the only account that takes a signer off for a contradiction
    /// @param signers who weighs from epoch 0, in ascending order; `weights` how much, each above 0
    constructor(
        address authority,
        address challenges,
        uint64 genesis,
        uint32 epochSeconds,
        address[] memory signers,
        uint96[] memory weights
    ) {
        AUTHORITY = authority;
        CHALLENGES = challenges;
        GENESIS = genesis;
        EPOCH_SECONDS = epochSeconds;
        _set(0, signers, weights);
    }

    /// @notice Names who weighs how much from the next epoch on; before genesis, from epoch 0. It replaces the whole list, also one that
    /// does not act yet. Only the authority.
    /// @param signers in ascending order
    /// @param weights each above 0
    function set(address[] calldata signers, uint96[] calldata weights) external {
        if (msg.sender != AUTHORITY) revert AllowList_NotAuthority(msg.sender, AUTHORITY);
        _set(_nextEpoch(), signers, weights);
    }

    /// @inheritdoc IBonds
    /// @dev Nothing is held: the signer loses its seat from the next epoch, until the authority names it again.
    function forfeit(address signer) external {
        if (msg.sender != CHALLENGES) revert AllowList_NotChallenges(msg.sender, CHALLENGES);
        List storage last = _lists[_lists.length - 1];
        (address[] memory signers, uint96[] memory weights) = (last.signers, last.weights);
        uint256 place = _place(signers, signer);
        uint256 left = signers.length - 1;
        for (uint256 i = place; i < left; ++i) {
            (signers[i], weights[i]) = (signers[i + 1], weights[i + 1]);
        }
        assembly ("memory-safe") {
            mstore(signers, left)
            mstore(weights, left)
        }
        emit Forfeited(signer);
        _set(_nextEpoch(), signers, weights);
    }

    /// @inheritdoc IBonds
    /// @dev There is nothing to take.
    function slash(address, uint256) external pure returns (uint256 taken) {
        return 0;
    }

    /// @notice The newest list; it acts from epoch `from`.
    function list() external view returns (uint32 from, address[] memory signers, uint96[] memory weights) {
        List storage last = _lists[_lists.length - 1];
        return (last.from, last.signers, last.weights);
    }

    /// @inheritdoc IWeights
    function weightOf(address signer, uint32 epoch) external view returns (uint256) {
        return _weightIn(_listOf(epoch), signer);
    }

    /// @inheritdoc IWeights
    function totalWeight(uint32 epoch) external view returns (uint256) {
        return _listOf(epoch).total;
    }

    /// @inheritdoc IWeights
    function weigh(address[] calldata signers, uint32 epoch) external view returns (uint256 sum, uint256 total) {
        List storage then = _listOf(epoch);
        for (uint256 i = 0; i < signers.length; ++i) {
            uint256 weight = _weightIn(then, signers[i]);
            if (weight == 0) revert Weights_Weightless(signers[i], epoch);
            sum += weight;
        }
        total = then.total;
    }

    /// @inheritdoc IWeights
    /// @dev Nobody leaves with anything, so no time is too late.
    function answerableSeconds() external pure returns (uint64) {
        return type(uint64).max;
    }

    /// @inheritdoc IWeights
    function leadOf(uint256 turn) external view returns (address signer) {
        address[] storage signers = _listOf(Epochs.current(GENESIS, EPOCH_SECONDS)).signers;
        uint256 n = signers.length;
        return n == 0 ? address(0) : signers[turn % n];
    }

    /// @inheritdoc IBonds
    function stakeOf(address) external pure returns (uint256) {
        return 0;
    }

    /// @inheritdoc IBonds
    function heldOf(address) external pure returns (uint256) {
        return 0;
    }

    /// @inheritdoc IBonds
    function UNBONDING_SECONDS() external pure returns (uint64) {
        return 0;
    }

    function _set(uint32 from, address[] memory signers, uint96[] memory weights) private {
        if (signers.length != weights.length || signers.length > MAX_SIGNERS) {
            revert AllowList_Count(signers.length, weights.length, MAX_SIGNERS);
        }
        uint128 total = 0;
        address before = address(0);
        for (uint256 i = 0; i < signers.length; ++i) {
            if (signers[i] <= before) revert AllowList_NotAscending(before, signers[i]);
            if (weights[i] == 0) revert AllowList_Weightless(signers[i]);
            before = signers[i];
            total += weights[i];
            if (ownerOfSigner[before] == address(0)) ownerOfSigner[before] = before;
        }
        uint256 count = _lists.length;
        // One that does not act yet gives way.
        List storage next = count != 0 && _lists[count - 1].from == from ? _lists[count - 1] : _lists.push();
        (next.from, next.total, next.signers, next.weights) = (from, total, signers, weights);
        emit SignersSet(from, signers, weights);
    }

    function _nextEpoch() private view returns (uint32) {
        return block.timestamp < GENESIS ? 0 : Epochs.current(GENESIS, EPOCH_SECONDS) + 1;
    }

    /// @dev From the newest back: it is nearly always one of the last two.
    function _listOf(uint32 epoch) private view returns (List storage) {
        uint256 i = _lists.length - 1;
        while (_lists[i].from > epoch) --i;
        return _lists[i];
    }

    function _weightIn(List storage then, address signer) private view returns (uint256) {
        uint256 n = then.signers.length;
        for (uint256 i = 0; i < n; ++i) {
            if (then.signers[i] == signer) return then.weights[i];
        }
        return 0;
    }

    function _place(address[] memory signers, address signer) private pure returns (uint256) {
        for (uint256 i = 0; i < signers.length; ++i) {
            if (signers[i] == signer) return i;
        }
        revert AllowList_NotListed(signer);
    }
}
