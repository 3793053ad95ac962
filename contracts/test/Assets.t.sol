// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Assets} from "../src/Assets.sol";
import {Test} from "./Vm.sol";

/// @dev Would refuse and re-enter if anybody asked it.
contract Hooked {
    function onERC721Received(address, address, uint256, bytes calldata) external pure returns (bytes4) {
        revert("asked");
    }
}

contract AssetsTest is Test {
    uint64 internal constant GENESIS = 1_700_000_000;
    address internal constant IMPORTER = address(0x1A);
    address internal constant OWNER = address(0x0A);
    address internal constant BUYER = address(0x0B);
    bytes internal constant KEY = hex"83eb00ca45b3f414251eff31cb75896e62192ae4d97e3e47f0e7c44a215bb4dd";
    bytes internal constant P256_KEY = hex"036b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296";

    Assets internal assets;

    function setUp() public {
        vm.warp(GENESIS - 1);
        assets = new Assets("Subak Assets", "ASSET", GENESIS, IMPORTER);
    }

    function entry(address owner, bytes memory key) internal pure returns (Assets.Registration memory) {
        return Assets.Registration(owner, key.length == 33 ? 2 : 1, key, "energy", 0x88be2d, 5_000);
    }

    function registered() internal returns (bytes32) {
        vm.prank(OWNER);
        return assets.register(entry(OWNER, KEY));
    }

    function site() internal returns (bytes32) {
        vm.prank(OWNER);
        return assets.registerSite(OWNER, "roof", 7);
    }

    function one(bytes32 payee, uint32 part) internal pure returns (bytes32[] memory payees, uint32[] memory parts) {
        payees = new bytes32[](1);
        parts = new uint32[](1);
        (payees[0], parts[0]) = (payee, part);
    }

    function padded(address account) internal pure returns (bytes32) {
        return bytes32(uint256(uint160(account)));
    }

    function test_register_mintsAndTells() public {
        bytes32 id = keccak256(abi.encodePacked("subak/asset/1", uint8(1), KEY, OWNER));
        vm.expectEmit(address(assets));
        emit Assets.Registered(id, OWNER, "energy", 0x88be2d, 5_000, 1, KEY);
        vm.assertEq(registered(), id);
        vm.assertEq(assets.ownerOf(uint256(id)), OWNER);
        vm.assertFalse(assets.isSite(id));
    }

    function test_register_revertsForOthers() public {
        vm.expectRevert(abi.encodeWithSelector(Assets.Assets_NotAllowed.selector, address(this), OWNER));
        assets.register(entry(OWNER, KEY));
    }

    function test_register_importerBeforeGenesis() public {
        vm.startPrank(IMPORTER);
        bytes32 id = assets.register(entry(OWNER, KEY));
        assets.registerSite(OWNER, "roof", 1);
        vm.stopPrank();
        vm.assertEq(assets.ownerOf(uint256(id)), OWNER);
    }

    function test_register_importerFromGenesisReverts() public {
        vm.warp(GENESIS);
        vm.expectRevert(abi.encodeWithSelector(Assets.Assets_NotAllowed.selector, IMPORTER, OWNER));
        vm.prank(IMPORTER);
        assets.register(entry(OWNER, KEY));
        vm.expectRevert(abi.encodeWithSelector(Assets.Assets_NotAllowed.selector, IMPORTER, OWNER));
        vm.prank(IMPORTER);
        assets.registerSite(OWNER, "roof", 1);
    }

    function test_G65_sameKeyAndOwnerTwiceReverts() public {
        bytes32 id = registered();
        vm.expectRevert(abi.encodeWithSelector(Assets.Assets_AlreadyRegistered.selector, id));
        vm.prank(OWNER);
        assets.register(entry(OWNER, KEY));
    }

    function test_G65_frontRunnerGetsAnotherId() public {
        vm.prank(BUYER);
        bytes32 theirs = assets.register(entry(BUYER, KEY));
        bytes32 own = registered();
        vm.assertTrue(theirs != own);
        vm.assertEq(assets.ownerOf(uint256(own)), OWNER);
    }

    function test_G66_badKeyReverts() public {
        refuses(1, P256_KEY);
        refuses(1, "");
        refuses(2, KEY);
        refuses(2, bytes.concat(hex"04", KEY));
        refuses(2, bytes.concat(hex"04", KEY, KEY));
        refuses(0, KEY);
        refuses(3, KEY);
        vm.prank(OWNER);
        assets.register(entry(OWNER, P256_KEY));
    }

    function refuses(uint8 curve, bytes memory key) internal {
        Assets.Registration memory r = entry(OWNER, key);
        r.curve = curve;
        vm.expectRevert(abi.encodeWithSelector(Assets.Assets_BadKey.selector, curve, key));
        vm.prank(OWNER);
        assets.register(r);
    }

    function test_G70_noReceiverHook() public {
        address owner = address(new Hooked());
        vm.prank(owner);
        bytes32 id = assets.register(entry(owner, KEY));
        vm.assertEq(assets.ownerOf(uint256(id)), owner);
    }

    function test_registerMany_allOrNone() public {
        Assets.Registration[] memory rs = new Assets.Registration[](2);
        (rs[0], rs[1]) = (entry(OWNER, KEY), entry(OWNER, P256_KEY));
        rs[1].owner = BUYER;
        vm.expectRevert(abi.encodeWithSelector(Assets.Assets_NotAllowed.selector, OWNER, BUYER));
        vm.prank(OWNER);
        assets.registerMany(rs);
        vm.assertEq(assets.balanceOf(OWNER), 0);
        vm.prank(IMPORTER);
        assets.registerMany(rs);
        vm.assertEq(assets.balanceOf(OWNER), 1);
        vm.assertEq(assets.balanceOf(BUYER), 1);
    }

    function test_registerSite_mintsAndTells() public {
        bytes32 id = keccak256(abi.encodePacked("subak/site/1", OWNER, bytes32("roof")));
        vm.expectEmit(address(assets));
        emit Assets.SiteRegistered(id, OWNER, 7);
        vm.assertEq(site(), id);
        vm.assertTrue(assets.isSite(id));
        vm.assertEq(assets.ownerOf(uint256(id)), OWNER);
    }

    function test_registerSite_reverts() public {
        vm.expectRevert(abi.encodeWithSelector(Assets.Assets_NotAllowed.selector, address(this), OWNER));
        assets.registerSite(OWNER, "roof", 7);
        bytes32 id = site();
        vm.expectRevert(abi.encodeWithSelector(Assets.Assets_AlreadyRegistered.selector, id));
        vm.prank(OWNER);
        assets.registerSite(OWNER, "roof", 8);
    }

    function test_rotateKey_revertsForSite() public {
        bytes32 id = site();
        vm.expectRevert(abi.encodeWithSelector(Assets.Assets_SiteHasNoKey.selector, id));
        vm.prank(OWNER);
        assets.rotateKey(id, 1, KEY);
    }

    function test_setPayees_tells() public {
        bytes32 id = registered();
        bytes32[] memory payees = new bytes32[](2);
        uint32[] memory parts = new uint32[](2);
        (payees[0], payees[1]) = (padded(BUYER), site());
        (parts[0], parts[1]) = (1, type(uint32).max - 1);
        vm.expectEmit(address(assets));
        emit Assets.PayeesSet(id, payees, parts);
        vm.prank(OWNER);
        assets.setPayees(id, payees, parts);
    }

    function test_setPayees_emptyMeansOwner() public {
        bytes32 id = registered();
        vm.expectEmit(address(assets));
        emit Assets.PayeesSet(id, new bytes32[](0), new uint32[](0));
        vm.prank(OWNER);
        assets.setPayees(id, new bytes32[](0), new uint32[](0));
    }

    function test_setPayees_revertsForOthers() public {
        bytes32 id = registered();
        vm.expectRevert(abi.encodeWithSelector(Assets.Assets_NotAllowed.selector, BUYER, OWNER));
        vm.prank(BUYER);
        assets.setPayees(id, new bytes32[](0), new uint32[](0));
    }

    function setsOne(bytes32 asset, bytes32 payee, uint32 part) internal {
        (bytes32[] memory payees, uint32[] memory parts) = one(payee, part);
        vm.prank(OWNER);
        assets.setPayees(asset, payees, parts);
    }

    function test_setPayees_revertsOnBadPayee() public {
        bytes32 id = registered();
        bytes32[4] memory bad = [bytes32(0), id, keccak256("no site"), bytes32(uint256(1) << 160)];
        for (uint256 i = 0; i < bad.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(Assets.Assets_BadPayee.selector, id, bad[i]));
            setsOne(id, bad[i], 1);
        }
    }

    function test_setPayees_sitesDoNotNest() public {
        bytes32 roof = site();
        vm.prank(OWNER);
        bytes32 tower = assets.registerSite(OWNER, "tower", 7);
        vm.expectRevert(abi.encodeWithSelector(Assets.Assets_BadPayee.selector, roof, tower));
        setsOne(roof, tower, 1);
        setsOne(roof, padded(BUYER), 1);
    }

    function test_setPayees_revertsOnCount() public {
        bytes32 id = registered();
        vm.expectRevert(abi.encodeWithSelector(Assets.Assets_PayeeCount.selector, 17, 17, 16));
        vm.prank(OWNER);
        assets.setPayees(id, new bytes32[](17), new uint32[](17));
        vm.expectRevert(abi.encodeWithSelector(Assets.Assets_PayeeCount.selector, 0, 1, 16));
        vm.prank(OWNER);
        assets.setPayees(id, new bytes32[](0), new uint32[](1));
    }

    function test_setPayees_revertsOnParts() public {
        bytes32 id = registered();
        vm.expectRevert(abi.encodeWithSelector(Assets.Assets_PartZero.selector, padded(BUYER)));
        setsOne(id, padded(BUYER), 0);
        bytes32[] memory payees = new bytes32[](2);
        uint32[] memory parts = new uint32[](2);
        (payees[0], payees[1]) = (padded(BUYER), padded(OWNER));
        (parts[0], parts[1]) = (1, type(uint32).max);
        vm.expectRevert(abi.encodeWithSelector(Assets.Assets_PartsTooLarge.selector, uint256(1) << 32, type(uint32).max));
        vm.prank(OWNER);
        assets.setPayees(id, payees, parts);
    }

    function test_rotateKey_tells() public {
        bytes32 id = registered();
        vm.expectEmit(address(assets));
        emit Assets.KeyRotated(id, 2, P256_KEY);
        vm.prank(OWNER);
        assets.rotateKey(id, 2, P256_KEY);
        vm.assertEq(assets.ownerOf(uint256(id)), OWNER);
    }

    function test_rotateKey_revertsForOthers() public {
        bytes32 id = registered();
        vm.expectRevert(abi.encodeWithSelector(Assets.Assets_NotAllowed.selector, BUYER, OWNER));
        vm.prank(BUYER);
        assets.rotateKey(id, 1, KEY);
    }

    function test_rotateKey_revertsOnBadKey() public {
        bytes32 id = registered();
        vm.expectRevert(abi.encodeWithSelector(Assets.Assets_BadKey.selector, 2, KEY));
        vm.prank(OWNER);
        assets.rotateKey(id, 2, KEY);
    }

    function test_G69_transferResetsPayees() public {
        bytes32 id = registered();
        setsOne(id, padded(OWNER), 1);
        vm.expectEmit(address(assets));
        emit Assets.PayeesSet(id, new bytes32[](0), new uint32[](0));
        vm.prank(OWNER);
        assets.transferFrom(OWNER, BUYER, uint256(id));
        vm.expectRevert(abi.encodeWithSelector(Assets.Assets_NotAllowed.selector, OWNER, BUYER));
        setsOne(id, padded(OWNER), 1);
    }
}
