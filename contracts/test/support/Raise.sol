// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {AssetShares} from "../../src/AssetShares.sol";
import {Assets} from "../../src/Assets.sol";
import {Attestations} from "../../src/Attestations.sol";
import {SharesFactory} from "../../src/SharesFactory.sol";
import {IFinals} from "../../src/interfaces/IFinals.sol";
import {Test} from "../Vm.sol";
import {Coin} from "./Coin.sol";

/// @dev Holds a root like a Settlement does.
contract Finals is IFinals {
    bytes32 public assetRoot;

    function set(bytes32 root) external {
        assetRoot = root;
    }
}

/// @dev A builder's raise for two assets: a fifth on success, and two milestones; receivers must be persons.
abstract contract Raise is Test {
    uint40 internal constant START = 1_700_000_000;
    uint40 internal constant RAISE_END = START + 30 days;
    uint40 internal constant BUILD_END = START + 365 days;
    uint128 internal constant SOFT_CAP = 600;
    uint128 internal constant HARD_CAP = 1_000;
    bytes32 internal constant PERSON = "person";
    address internal constant AUTHORITY = address(0xA0);
    address internal constant ISSUER = address(0x15);
    address internal constant BUILDER = address(0xB1);
    address internal constant ANA = address(0xA1);
    address internal constant BEN = address(0xA2);
    address internal constant EVE = address(0xE1);

    Coin internal coin;
    Coin internal token;
    Finals internal finals;
    Attestations internal attestations;
    Assets internal assets;
    SharesFactory internal factory;
    AssetShares internal shares;
    bytes32 internal roof;
    bytes32 internal mast;

    function setUp() public virtual {
        vm.warp(START);
        coin = new Coin();
        token = new Coin();
        finals = new Finals();
        bytes32[] memory topics = new bytes32[](1);
        address[] memory issuers = new address[](1);
        (topics[0], issuers[0]) = (PERSON, ISSUER);
        attestations = new Attestations(AUTHORITY, topics, issuers);
        assets = new Assets("Subak Assets", "ASSET", START, address(0));
        roof = registers(BUILDER, "roof");
        mast = registers(BUILDER, "mast");
        factory = factoryOf(IERC20(address(coin)), IERC20(address(token)));
        shares = raises(factory, terms());
        vouches(ANA);
        vouches(BEN);
    }

    function factoryOf(IERC20 paid, IERC20 network) internal returns (SharesFactory) {
        return new SharesFactory(finals, attestations, assets, paid, network);
    }

    function registers(address owner, bytes32 key) internal returns (bytes32) {
        vm.prank(owner);
        return assets.register(Assets.Registration(owner, 1, abi.encode(key), "energy", 7, 5_000));
    }

    function vouches(address person) internal {
        vm.prank(ISSUER);
        attestations.attest(padded(person), PERSON, type(uint40).max);
    }

    function padded(address account) internal pure returns (bytes32) {
        return bytes32(uint256(uint160(account)));
    }

    function terms() internal view returns (AssetShares.Terms memory t) {
        t.name = "Roof and mast";
        t.symbol = "ROOF";
        t.builder = BUILDER;
        (t.softCap, t.hardCap, t.raiseEnd, t.buildEnd) = (SOFT_CAP, HARD_CAP, RAISE_END, BUILD_END);
        t.topics = new bytes32[](1);
        t.topics[0] = PERSON;
        t.milestones = new AssetShares.Milestone[](3);
        t.milestones[0] = AssetShares.Milestone(0, 2_000, 0, 0);
        t.milestones[1] = AssetShares.Milestone(roof, 5_000, 40_000, 3);
        t.milestones[2] = AssetShares.Milestone(mast, 3_000, 0, 10);
    }

    /// @dev Terms that anyone can hold shares under.
    function open() internal view returns (AssetShares.Terms memory t) {
        t = terms();
        t.topics = new bytes32[](0);
    }

    function raises(SharesFactory from, AssetShares.Terms memory t) internal returns (AssetShares) {
        vm.prank(t.builder);
        return AssetShares(from.create(t, "salt"));
    }

    function paysIn(address person, uint256 amount) internal returns (uint256 taken) {
        coin.mint(person, amount);
        vm.startPrank(person);
        coin.approve(address(shares), amount);
        taken = shares.contribute(amount);
        vm.stopPrank();
    }

    /// @dev 600 of Ana and 400 of Ben: the hard cap.
    function live() internal {
        paysIn(ANA, 600);
        paysIn(BEN, 400);
    }

    /// @dev 300 of Ana and 200 of Ben: too little.
    function fails() internal {
        paysIn(ANA, 300);
        paysIn(BEN, 200);
        vm.warp(RAISE_END);
    }

    function earns(uint256 fees, uint256 rewards) internal {
        coin.mint(address(shares), fees);
        token.mint(address(shares), rewards);
    }

    function brings(bytes32 asset) internal {
        vm.prank(BUILDER);
        assets.transferFrom(BUILDER, address(shares), uint256(asset));
    }

    function leaf(bytes32 asset, uint256 units, uint256 paidEpochs) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(keccak256(abi.encode(asset, units, 17, 23, paidEpochs))));
    }

    /// @dev Makes final: two assets with 17 of rewards and 23 of fees each.
    function settles(bytes32 one, bytes32 two) internal {
        finals.set(one < two ? keccak256(abi.encodePacked(one, two)) : keccak256(abi.encodePacked(two, one)));
    }

    function sibling(bytes32 other) internal pure returns (bytes32[] memory proof) {
        proof = new bytes32[](1);
        proof[0] = other;
    }

    function payment() internal view returns (IERC20) {
        return IERC20(address(coin));
    }

    function rewards_() internal view returns (IERC20) {
        return IERC20(address(token));
    }

    function stateIs(AssetShares.State wanted) internal view {
        vm.assertEq(uint256(shares.state()), uint256(wanted));
    }

    function wrongState(AssetShares.State current) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(AssetShares.AssetShares_WrongState.selector, current);
    }

    function nothingFor(address account) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(AssetShares.AssetShares_Nothing.selector, account);
    }

    function badReceiver(address account, bytes32 topic) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(AssetShares.AssetShares_BadReceiver.selector, account, topic);
    }
}
