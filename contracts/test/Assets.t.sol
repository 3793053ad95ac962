// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Assets} from "../src/Assets.sol";
import {Parrot, Possession, SlowPrecompile} from "./support/Possession.sol";

/// @dev Takes an asset and gives it away from within the hook.
contract Passer {
    function onERC721Received(address, address from, uint256 id, bytes calldata) external returns (bytes4) {
        Assets(msg.sender).transferFrom(address(this), from, id);
        return this.onERC721Received.selector;
    }
}

/// @dev Would refuse and re-enter if anybody asked it.
contract Hooked {
    function onERC721Received(address, address, uint256, bytes calldata) external pure returns (bytes4) {
        revert("asked");
    }
}

contract AssetsTest is Possession {
    uint64 internal constant GENESIS = 1_700_000_000;
    address internal constant IMPORTER = address(0x1A);
    address internal constant OWNER = address(0x0A);
    address internal constant BUYER = address(0x0B);
    uint256 internal constant DEVICE = 0xD1;
    uint256 internal constant SPARE = 0xD2;
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

    function test_G70_hookThatPassesOnEndsWithOneOwner() public {
        bytes32 id = registered();
        address passer = address(new Passer());
        vm.prank(OWNER);
        assets.safeTransferFrom(OWNER, passer, uint256(id));
        vm.assertEq(assets.ownerOf(uint256(id)), OWNER);
        vm.assertEq(assets.balanceOf(passer), 0);
    }

    function entryOf(address owner, uint256 device) internal pure returns (Assets.Registration memory) {
        (bytes memory key,) = keyOf(device);
        return entry(owner, key);
    }

    function idOf(address owner, uint256 device) internal view returns (bytes32) {
        (bytes memory key,) = keyOf(device);
        return assets.assetId(2, key, owner);
    }

    /// @dev What `device` signs to be `owner`'s first asset with it.
    function says(uint256 device, address owner) internal view returns (Assets.Proof memory) {
        return proofOf(device, assets.possessionDigest(idOf(owner, device), owner));
    }

    function registersWith(address owner, uint256 device, Assets.Proof memory proof) internal returns (bytes32) {
        vm.prank(owner);
        return assets.registerWithProof(entryOf(owner, device), proof);
    }

    function refusesProof(Assets.Proof memory proof, bytes memory why) internal {
        vm.expectRevert(why);
        registersWith(OWNER, DEVICE, proof);
    }

    function badProof() internal view returns (bytes memory) {
        return abi.encodeWithSelector(Assets.Assets_BadProof.selector, idOf(OWNER, DEVICE), OWNER);
    }

    function badPoint(bytes32 y) internal pure returns (bytes memory) {
        (bytes memory key,) = keyOf(DEVICE);
        bytes32 x;
        assembly {
            x := mload(add(key, 0x21))
        }
        return abi.encodeWithSelector(Assets.Assets_BadPoint.selector, x, y);
    }

    function test_possessionDigest_isSha256OfFiveWords() public view {
        bytes memory words = abi.encodePacked(
            "subak/possession/1", new bytes(14), block.chainid, padded(address(assets)), bytes32("id"), padded(OWNER)
        );
        vm.assertEq(words.length, 160);
        vm.assertEq(assets.possessionDigest("id", OWNER), sha256(words));
    }

    /// forge-config: default.evm_version = "osaka"
    function test_registerWithProof_tells() public {
        bytes32 id = idOf(OWNER, DEVICE);
        Assets.Registration memory r = entryOf(OWNER, DEVICE);
        Assets.Proof memory proof = says(DEVICE, OWNER);
        vm.expectEmit(address(assets));
        emit Assets.Registered(id, OWNER, r.kind, r.cell, r.rated, 2, r.key);
        vm.expectEmit(address(assets));
        emit Assets.Possessed(id, OWNER);
        vm.assertEq(registersWith(OWNER, DEVICE, proof), id);
        vm.assertEq(assets.ownerOf(uint256(id)), OWNER);
    }

    /// forge-config: default.evm_version = "osaka"
    function test_registerWithProof_importerBeforeGenesis() public {
        Assets.Proof memory proof = says(DEVICE, OWNER);
        vm.expectEmit(address(assets));
        emit Assets.Possessed(idOf(OWNER, DEVICE), OWNER);
        vm.prank(IMPORTER);
        assets.registerWithProof(entryOf(OWNER, DEVICE), proof);
    }

    /// forge-config: default.evm_version = "osaka"
    function test_registerWithProof_revertsForEd25519() public {
        Assets.Proof memory proof = says(DEVICE, OWNER);
        vm.expectRevert(abi.encodeWithSelector(Assets.Assets_NoProofFor.selector, 1));
        vm.prank(OWNER);
        assets.registerWithProof(entry(OWNER, KEY), proof);
    }

    /// forge-config: default.evm_version = "osaka"
    function test_G65_copiedProofProvesNothingForOthers() public {
        Assets.Proof memory proof = says(DEVICE, OWNER);
        vm.expectRevert(abi.encodeWithSelector(Assets.Assets_BadProof.selector, idOf(BUYER, DEVICE), BUYER));
        registersWith(BUYER, DEVICE, proof);
        registersWith(OWNER, DEVICE, proof);
    }

    /// forge-config: default.evm_version = "osaka"
    function test_G65_proofOfAnotherAssetContractOrChainReverts() public {
        refusesProof(proofOf(DEVICE, assets.possessionDigest("another", OWNER)), badProof());
        Assets other = new Assets("Others", "OTHER", GENESIS, IMPORTER);
        refusesProof(proofOf(DEVICE, other.possessionDigest(idOf(OWNER, DEVICE), OWNER)), badProof());
        Assets.Proof memory here = says(DEVICE, OWNER);
        vm.chainId(block.chainid + 1);
        refusesProof(here, badProof());
    }

    /// forge-config: default.evm_version = "osaka"
    function test_G66_anotherDevicesProofReverts() public {
        Assets.Proof memory proof = proofOf(SPARE, assets.possessionDigest(idOf(OWNER, DEVICE), OWNER));
        (, proof.y) = keyOf(DEVICE);
        refusesProof(proof, badProof());
    }

    /// forge-config: default.evm_version = "osaka"
    function test_G66_badPointReverts() public {
        Assets.Proof memory proof = says(DEVICE, OWNER);
        bytes32 y = proof.y;
        bytes32[5] memory bad =
            [twinY(y), bytes32(0), bytes32(uint256(y) + 2), bytes32(type(uint256).max), bytes32(uint256(y) & 1)];
        for (uint256 i = 0; i < bad.length; ++i) {
            proof.y = bad[i];
            refusesProof(proof, badPoint(bad[i]));
        }
        proof.y = 0;
        vm.expectRevert(abi.encodeWithSelector(Assets.Assets_BadPoint.selector, 0, 0));
        vm.prank(OWNER);
        assets.registerWithProof(entry(OWNER, abi.encodePacked(uint8(2), uint256(0))), proof);
    }

    /// @dev The y of the negated point.
    function twinY(bytes32 y) internal pure returns (bytes32) {
        return bytes32(0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF - uint256(y));
    }

    /// forge-config: default.evm_version = "osaka"
    function test_G66_badSignatureReverts() public {
        Assets.Proof memory good = says(DEVICE, OWNER);
        Assets.Proof memory proof = Assets.Proof(good.y, good.r, twin(good.s));
        refusesProof(proof, badProof());
        proof = Assets.Proof(good.y, 0, good.s);
        refusesProof(proof, badProof());
        proof = Assets.Proof(good.y, good.r, 0);
        refusesProof(proof, badProof());
        proof = Assets.Proof(good.y, twin(0), good.s);
        refusesProof(proof, badProof());
        registersWith(OWNER, DEVICE, good);
    }

    function test_G66_withoutPrecompileReverts() public {
        refusesProof(says(DEVICE, OWNER), abi.encodeWithSelector(Assets.Assets_NoPrecompile.selector));
        vm.prank(OWNER);
        assets.register(entryOf(OWNER, DEVICE));
    }

    function test_G66_whatSaysYesOrNothingIsNoPrecompile() public {
        bytes32[3] memory answers = [bytes32(uint256(1)), bytes32(0), keccak256("noise")];
        for (uint256 i = 0; i < answers.length; ++i) {
            vm.etch(PRECOMPILE, address(new Parrot(answers[i])).code);
            refusesProof(says(DEVICE, OWNER), abi.encodeWithSelector(Assets.Assets_NoPrecompile.selector));
        }
    }

    function test_G66_anyRightAnswerAtThePrecompile() public {
        vm.etch(PRECOMPILE, address(new SlowPrecompile()).code);
        Assets.Proof memory proof = says(DEVICE, OWNER);
        refusesProof(Assets.Proof(proof.y, proof.s, proof.r), badProof());
        vm.expectEmit(address(assets));
        emit Assets.Possessed(idOf(OWNER, DEVICE), OWNER);
        registersWith(OWNER, DEVICE, proof);
    }

    /// forge-config: default.evm_version = "osaka"
    function testFuzz_registerWithProof_everyKey(uint256 device) public {
        device = bound(device, 1, uint256(twin(0)) - 1);
        registersWith(OWNER, device, says(device, OWNER));
    }

    /// forge-config: default.evm_version = "osaka"
    function test_rotateKeyWithProof_tells() public {
        bytes32 id = registered();
        (bytes memory key,) = keyOf(SPARE);
        Assets.Proof memory proof = proofOf(SPARE, assets.possessionDigest(id, OWNER));
        vm.expectEmit(address(assets));
        emit Assets.KeyRotated(id, 2, key);
        vm.expectEmit(address(assets));
        emit Assets.Possessed(id, OWNER);
        vm.prank(OWNER);
        assets.rotateKeyWithProof(id, key, proof);
    }

    /// forge-config: default.evm_version = "osaka"
    function test_rotateKeyWithProof_bindsTheOwnerOfTheDay() public {
        bytes32 id = registered();
        (bytes memory key,) = keyOf(SPARE);
        Assets.Proof memory proof = proofOf(SPARE, assets.possessionDigest(id, OWNER));
        vm.prank(OWNER);
        assets.transferFrom(OWNER, BUYER, uint256(id));
        vm.expectRevert(abi.encodeWithSelector(Assets.Assets_BadProof.selector, id, BUYER));
        vm.prank(BUYER);
        assets.rotateKeyWithProof(id, key, proof);
        vm.expectRevert(abi.encodeWithSelector(Assets.Assets_NotAllowed.selector, OWNER, BUYER));
        vm.prank(OWNER);
        assets.rotateKeyWithProof(id, key, proof);
        proof = proofOf(SPARE, assets.possessionDigest(id, BUYER));
        vm.prank(BUYER);
        assets.rotateKeyWithProof(id, key, proof);
    }

    /// forge-config: default.evm_version = "osaka"
    function test_rotateKeyWithProof_reverts() public {
        bytes32 id = registered();
        Assets.Proof memory proof = proofOf(SPARE, assets.possessionDigest(id, OWNER));
        vm.expectRevert(abi.encodeWithSelector(Assets.Assets_BadKey.selector, 2, KEY));
        vm.prank(OWNER);
        assets.rotateKeyWithProof(id, KEY, proof);
        (bytes memory key,) = keyOf(DEVICE);
        vm.expectRevert();
        vm.prank(OWNER);
        assets.rotateKeyWithProof(id, key, proof);
        bytes32 roof = site();
        vm.expectRevert(abi.encodeWithSelector(Assets.Assets_SiteHasNoKey.selector, roof));
        vm.prank(OWNER);
        assets.rotateKeyWithProof(roof, key, proof);
    }
}
