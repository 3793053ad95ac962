// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import {Assets} from "../src/Assets.sol";
import {MirrorAssets} from "../src/MirrorAssets.sol";
import {Test} from "./Vm.sol";

/// @dev A collection that was there before.
contract Deeds is ERC721("Deeds", "DEED") {
    function mint(address to, uint256 tokenId) external {
        _mint(to, tokenId);
    }

    function burn(uint256 tokenId) external {
        _burn(tokenId);
    }
}

contract MirrorAssetsTest is Test {
    uint64 internal constant GENESIS = 1_700_000_000;
    address internal constant AUTHORITY = address(0xA0);
    address internal constant IMPORTER = address(0x1A);
    address internal constant OWNER = address(0x0A);
    address internal constant BUYER = address(0x0B);
    bytes internal constant KEY = hex"83eb00ca45b3f414251eff31cb75896e62192ae4d97e3e47f0e7c44a215bb4dd";
    bytes internal constant P256_KEY = hex"036b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296";

    Deeds internal deeds;
    MirrorAssets internal assets;

    function setUp() public {
        vm.warp(GENESIS);
        deeds = new Deeds();
        deeds.mint(OWNER, 7);
        deeds.mint(OWNER, 8);
        assets = new MirrorAssets(deeds, AUTHORITY, GENESIS, IMPORTER);
    }

    function entry(uint256 tokenId, bytes memory key) internal pure returns (MirrorAssets.Registration memory) {
        return MirrorAssets.Registration(tokenId, key.length == 33 ? 2 : 1, key, "energy", 0x88be2d, 5_000);
    }

    function registered() internal returns (bytes32) {
        vm.prank(OWNER);
        return assets.register(entry(7, KEY));
    }

    function sold() internal returns (bytes32 id) {
        id = registered();
        vm.prank(OWNER);
        deeds.transferFrom(OWNER, BUYER, 7);
    }

    function one(bytes32 payee, uint32 part) internal pure returns (bytes32[] memory payees, uint32[] memory parts) {
        payees = new bytes32[](1);
        parts = new uint32[](1);
        (payees[0], parts[0]) = (payee, part);
    }

    function test_register_tellsWithTheIdThatAssetsWouldGive() public {
        Assets ours = new Assets("Assets", "A", GENESIS, address(0));
        bytes32 id = ours.assetId(1, KEY, OWNER);
        vm.expectEmit(address(assets));
        emit MirrorAssets.Transfer(address(0), OWNER, uint256(id));
        vm.expectEmit(address(assets));
        emit MirrorAssets.Registered(id, OWNER, "energy", 0x88be2d, 5_000, 1, KEY);
        vm.expectEmit(address(assets));
        emit MirrorAssets.Mirrored(id, 7);
        vm.assertEq(registered(), id);
        vm.assertEq(assets.ownerOf(uint256(id)), OWNER);
        vm.assertEq(assets.assetOf(7), id);
        vm.assertEq(assets.tokenOf(id), 7);
        vm.assertFalse(assets.isSite(id));
    }

    function test_register_eventsHaveTheShapeOfAssets() public pure {
        vm.assertEq(MirrorAssets.Registered.selector, Assets.Registered.selector);
        vm.assertEq(MirrorAssets.PayeesSet.selector, Assets.PayeesSet.selector);
        vm.assertEq(MirrorAssets.KeyRotated.selector, Assets.KeyRotated.selector);
        vm.assertEq(MirrorAssets.Transfer.selector, keccak256("Transfer(address,address,uint256)"));
    }

    function test_register_byTheAuthorityForTheOwner() public {
        vm.prank(AUTHORITY);
        bytes32 id = assets.register(entry(7, KEY));
        vm.assertEq(assets.toldOwner(id), OWNER);
    }

    function test_register_importerOnlyBeforeGenesis() public {
        vm.expectRevert(abi.encodeWithSelector(MirrorAssets.MirrorAssets_NotAllowed.selector, IMPORTER, OWNER));
        vm.prank(IMPORTER);
        assets.register(entry(7, KEY));
        vm.warp(GENESIS - 1);
        MirrorAssets.Registration[] memory both = new MirrorAssets.Registration[](2);
        (both[0], both[1]) = (entry(7, KEY), entry(8, P256_KEY));
        vm.prank(IMPORTER);
        assets.registerMany(both);
        vm.assertEq(assets.toldOwner(assets.assetOf(8)), OWNER);
    }

    function test_register_revertsForOthers() public {
        vm.expectRevert(abi.encodeWithSelector(MirrorAssets.MirrorAssets_NotAllowed.selector, BUYER, OWNER));
        vm.prank(BUYER);
        assets.register(entry(7, KEY));
    }

    function test_G65_aTokenIsOneAssetAndAKeyOneToken() public {
        bytes32 id = registered();
        vm.expectRevert(abi.encodeWithSelector(MirrorAssets.MirrorAssets_AlreadyRegistered.selector, 7, id));
        vm.prank(OWNER);
        assets.register(entry(7, P256_KEY));
        vm.expectRevert(abi.encodeWithSelector(MirrorAssets.MirrorAssets_KeyTaken.selector, id, 7));
        vm.prank(OWNER);
        assets.register(entry(8, KEY));
    }

    function test_G66_badKeyReverts() public {
        MirrorAssets.Registration memory r = entry(7, P256_KEY);
        r.curve = 1;
        vm.expectRevert(abi.encodeWithSelector(MirrorAssets.MirrorAssets_BadKey.selector, uint8(1), P256_KEY));
        vm.prank(OWNER);
        assets.register(r);
    }

    function test_register_revertsForNoToken() public {
        vm.expectRevert();
        vm.prank(AUTHORITY);
        assets.register(entry(9, KEY));
    }

    function test_sync_tellsOfANewOwnerAndEndsPayees() public {
        bytes32 id = sold();
        vm.assertEq(assets.ownerOf(uint256(id)), BUYER);
        vm.assertEq(assets.toldOwner(id), OWNER);
        vm.expectEmit(address(assets));
        emit MirrorAssets.Transfer(OWNER, BUYER, uint256(id));
        vm.expectEmit(address(assets));
        emit MirrorAssets.PayeesSet(id, new bytes32[](0), new uint32[](0));
        vm.assertEq(assets.sync(id), BUYER);
        vm.assertEq(assets.toldOwner(id), BUYER);
        vm.assertEq(assets.sync(id), BUYER);
    }

    function test_sync_revertsForUnknownAndBurned() public {
        vm.expectRevert(abi.encodeWithSelector(MirrorAssets.MirrorAssets_Unknown.selector, bytes32("none")));
        assets.sync("none");
        bytes32 id = registered();
        deeds.burn(7);
        vm.expectRevert();
        assets.sync(id);
        vm.assertEq(assets.toldOwner(id), OWNER);
    }

    function test_theSellerDecidesNothingEvenBeforeASync() public {
        bytes32 id = sold();
        (bytes32[] memory payees, uint32[] memory parts) = one(bytes32(uint256(uint160(OWNER))), 1);
        vm.expectRevert(abi.encodeWithSelector(MirrorAssets.MirrorAssets_NotAllowed.selector, OWNER, BUYER));
        vm.prank(OWNER);
        assets.setPayees(id, payees, parts);
        vm.expectRevert(abi.encodeWithSelector(MirrorAssets.MirrorAssets_NotAllowed.selector, OWNER, BUYER));
        vm.prank(OWNER);
        assets.rotateKey(id, 1, KEY);
        vm.prank(BUYER);
        assets.rotateKey(id, 2, P256_KEY);
        vm.assertEq(assets.toldOwner(id), BUYER);
    }

    function test_setPayees_tellsAddressesOnly() public {
        bytes32 id = registered();
        (bytes32[] memory payees, uint32[] memory parts) = one(bytes32(uint256(uint160(BUYER))), 3);
        vm.expectEmit(address(assets));
        emit MirrorAssets.PayeesSet(id, payees, parts);
        vm.prank(OWNER);
        assets.setPayees(id, payees, parts);
        (payees, parts) = one(id, 1);
        vm.expectRevert(abi.encodeWithSelector(MirrorAssets.MirrorAssets_BadPayee.selector, id, id));
        vm.prank(OWNER);
        assets.setPayees(id, payees, parts);
    }

    function test_setPayees_revertsOnCountAndParts() public {
        bytes32 id = registered();
        bytes32 payee = bytes32(uint256(uint160(BUYER)));
        (bytes32[] memory payees, uint32[] memory parts) = one(payee, 0);
        vm.expectRevert(abi.encodeWithSelector(MirrorAssets.MirrorAssets_PartZero.selector, payee));
        vm.prank(OWNER);
        assets.setPayees(id, payees, parts);
        vm.expectRevert(abi.encodeWithSelector(MirrorAssets.MirrorAssets_PayeeCount.selector, 1, 2, 16));
        vm.prank(OWNER);
        assets.setPayees(id, payees, new uint32[](2));
        (payees, parts) = (new bytes32[](2), new uint32[](2));
        (payees[0], payees[1], parts[0], parts[1]) = (payee, payee, type(uint32).max, 1);
        uint256 most = type(uint32).max;
        vm.expectRevert(abi.encodeWithSelector(MirrorAssets.MirrorAssets_PartsTooLarge.selector, most + 1, most));
        vm.prank(OWNER);
        assets.setPayees(id, payees, parts);
    }
}
