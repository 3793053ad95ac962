// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";
import {Assets} from "./Assets.sol";
import {AssetShares} from "./AssetShares.sol";
import {Attestations} from "./Attestations.sol";
import {IFinals} from "./interfaces/IFinals.sol";

/// @title Where raises begin.
/// @notice Every share contract from here has the same code, takes the same payment asset, and keeps to the bounds below.
contract SharesFactory {
    /// @notice The most milestones that terms can have.
    uint256 public constant MAX_MILESTONES = 32;

    /// @notice The most attestations that terms can demand of a receiver.
    uint256 public constant MAX_TOPICS = 4;

    /// @notice The longest that a raise can last: a failed one is refunded after it.
    uint256 public constant MAX_RAISE_SECONDS = 365 days;

    /// @notice The longest that money can wait for milestones after the raise: what is left is then the holders'.
    uint256 public constant MAX_BUILD_SECONDS = 5 * 365 days;

    /// @notice The code of all share contracts.
    AssetShares public immutable IMPLEMENTATION;

    /// @notice Whether a share contract came from here.
    mapping(address shares => bool) public isShares;

    /// @notice A raise began.
    event Created(address indexed shares, address indexed builder, AssetShares.Terms terms);

    error SharesFactory_NotBuilder(address sender, address builder);
    error SharesFactory_BadCaps(uint128 softCap, uint128 hardCap);
    error SharesFactory_BadTimes(uint40 raiseEnd, uint40 buildEnd, uint256 time);
    error SharesFactory_TooMany(uint256 topics, uint256 milestones);
    error SharesFactory_BadMilestone(uint256 milestone);
    error SharesFactory_BadSum(uint256 sumBps);
    error SharesFactory_AlreadyMade(address shares);

    /// @param settlement whose final tree of assets milestones are proved from
    /// @param payment with decimals(); neither it nor `token` takes a fee on transfers or rebases
    constructor(IFinals settlement, Attestations attestations, Assets assets, IERC20 payment, IERC20 token) {
        IMPLEMENTATION = new AssetShares(settlement, attestations, assets, payment, token);
    }

    /// @notice Begins a raise in the builder's own name. Its address follows from terms and salt, so that nothing that happens in
    /// between can put other terms there.
    /// @param salt tells raises of the same terms apart
    function create(AssetShares.Terms calldata terms, bytes32 salt) external returns (address shares) {
        if (msg.sender != terms.builder) revert SharesFactory_NotBuilder(msg.sender, terms.builder);
        if (terms.softCap == 0 || terms.softCap > terms.hardCap) {
            revert SharesFactory_BadCaps(terms.softCap, terms.hardCap);
        }
        if (
            terms.raiseEnd <= block.timestamp || terms.raiseEnd > block.timestamp + MAX_RAISE_SECONDS
                || terms.buildEnd <= terms.raiseEnd || terms.buildEnd > terms.raiseEnd + MAX_BUILD_SECONDS
        ) revert SharesFactory_BadTimes(terms.raiseEnd, terms.buildEnd, block.timestamp);
        if (terms.topics.length > MAX_TOPICS || terms.milestones.length > MAX_MILESTONES) {
            revert SharesFactory_TooMany(terms.topics.length, terms.milestones.length);
        }
        uint256 sumBps = 0;
        for (uint256 i = 0; i < terms.milestones.length; ++i) {
            AssetShares.Milestone calldata m = terms.milestones[i];
            bool unprovable = m.asset == 0 && (m.minUnits != 0 || m.minPaidEpochs != 0);
            if (m.amountBps == 0 || unprovable) revert SharesFactory_BadMilestone(i);
            sumBps += m.amountBps;
        }
        if (sumBps != 10_000) revert SharesFactory_BadSum(sumBps);
        shares = addressOf(terms, salt);
        if (isShares[shares]) revert SharesFactory_AlreadyMade(shares);
        isShares[shares] = true;
        Clones.cloneDeterministicWithImmutableArgs(address(IMPLEMENTATION), abi.encode(terms), salt);
        emit Created(shares, msg.sender, terms);
    }

    /// @notice Where `create` puts these terms.
    function addressOf(AssetShares.Terms calldata terms, bytes32 salt) public view returns (address shares) {
        return Clones.predictDeterministicAddressWithImmutableArgs(address(IMPLEMENTATION), abi.encode(terms), salt);
    }
}
