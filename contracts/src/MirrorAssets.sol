// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC721} from "@openzeppelin/contracts/token/ERC721/IERC721.sol";

/// @title The things that earn, where who owns what already stands in another collection.
/// @notice Each token of that collection is one asset at most, with the id that its owner of the day would get for the device's key in
/// Assets, and the same events. Whoever owns the token owns the asset: nothing can be transferred here. `sync` tells the network of a new
/// owner, and anyone can call it; until then the one told last is paid. There are no sites, and payees are addresses.
contract MirrorAssets {
    /// @param tokenId which token of the collection the device is
    /// @param curve ED25519 or P256
    /// @param key the device's public key: 32 bytes, or 33 compressed
    /// @param kind which rules judge it
    /// @param cell H3 index of where it is
    /// @param rated its rated capacity, in the unit of its kind
    struct Registration {
        uint256 tokenId;
        uint8 curve;
        bytes key;
        bytes32 kind;
        uint64 cell;
        uint64 rated;
    }

    uint8 public constant ED25519 = 1;
    uint8 public constant P256 = 2;

    /// @notice The most payees that one asset can name.
    uint256 public constant MAX_PAYEES = 16;

    /// @notice The collection that says who owns what.
    IERC721 public immutable COLLECTION;

    /// @notice May register any token, beside its owner.
    address public immutable AUTHORITY;

    /// @notice May register any token before genesis.
    address public immutable IMPORTER;

    /// @notice Unix time in seconds from which the importer is nobody.
    uint64 public immutable GENESIS;

    /// @notice The asset that a token is; 0 if it is none.
    mapping(uint256 tokenId => bytes32) public assetOf;

    /// @notice The token that an asset is.
    mapping(bytes32 asset => uint256) public tokenOf;

    /// @notice The owner whom the events told last; address(0) for unknown assets.
    mapping(bytes32 asset => address) public toldOwner;

    event Transfer(address indexed from, address indexed to, uint256 indexed tokenId);
    event Registered(
        bytes32 indexed asset, address indexed owner, bytes32 kind, uint64 cell, uint64 rated, uint8 curve, bytes key
    );
    /// @notice Which token of the collection an asset is.
    event Mirrored(bytes32 indexed asset, uint256 indexed tokenId);
    /// @notice Who is paid for `asset`, by `parts`; empty lists mean its owner.
    event PayeesSet(bytes32 indexed asset, bytes32[] payees, uint32[] parts);
    event KeyRotated(bytes32 indexed asset, uint8 curve, bytes key);

    error MirrorAssets_NotAllowed(address sender, address owner);
    error MirrorAssets_BadKey(uint8 curve, bytes key);
    error MirrorAssets_AlreadyRegistered(uint256 tokenId, bytes32 asset);
    error MirrorAssets_KeyTaken(bytes32 asset, uint256 tokenId);
    error MirrorAssets_Unknown(bytes32 asset);
    error MirrorAssets_PayeeCount(uint256 payees, uint256 parts, uint256 most);
    error MirrorAssets_BadPayee(bytes32 asset, bytes32 payee);
    error MirrorAssets_PartZero(bytes32 payee);
    error MirrorAssets_PartsTooLarge(uint256 sum, uint256 most);

    /// @param authority may register any token
    /// @param importer may do so before genesis
    constructor(IERC721 collection, address authority, uint64 genesis, address importer) {
        COLLECTION = collection;
        AUTHORITY = authority;
        GENESIS = genesis;
        IMPORTER = importer;
    }

    /// @notice Makes an asset of a token, for its owner: by the owner, by the authority, or before genesis by the importer.
    function register(Registration calldata r) external returns (bytes32 asset) {
        return _register(r);
    }

    /// @notice Registers several tokens, all or none.
    function registerMany(Registration[] calldata rs) external {
        for (uint256 i = 0; i < rs.length; ++i) {
            _register(rs[i]);
        }
    }

    /// @notice Tells the network who owns an asset now, if that changed: its payees and what its device signed about its owner are void.
    /// Anyone can call it. It reverts if the token is gone: such an asset stays its last owner's.
    function sync(bytes32 asset) external returns (address owner) {
        return _sync(asset);
    }

    /// @notice Says who is paid for an asset, in proportion to `parts`; empty lists mean its owner.
    /// @param payees addresses, left-padded with zeros
    /// @param parts each above 0; their sum fits uint32
    function setPayees(bytes32 asset, bytes32[] calldata payees, uint32[] calldata parts) external {
        _requireOwner(asset);
        if (payees.length != parts.length || payees.length > MAX_PAYEES) {
            revert MirrorAssets_PayeeCount(payees.length, parts.length, MAX_PAYEES);
        }
        uint256 sum = 0;
        for (uint256 i = 0; i < payees.length; ++i) {
            bytes32 payee = payees[i];
            if (payee == 0 || uint256(payee) > type(uint160).max) revert MirrorAssets_BadPayee(asset, payee);
            if (parts[i] == 0) revert MirrorAssets_PartZero(payee);
            sum += parts[i];
        }
        if (sum > type(uint32).max) revert MirrorAssets_PartsTooLarge(sum, type(uint32).max);
        emit PayeesSet(asset, payees, parts);
    }

    /// @notice Gives an asset a new device key; its id stays. What the old device signed about its owner is void.
    function rotateKey(bytes32 asset, uint8 curve, bytes calldata key) external {
        _requireOwner(asset);
        _requireKey(curve, key);
        emit KeyRotated(asset, curve, key);
    }

    /// @notice Who owns an asset in the collection now; reverts for what is no asset or no token any more.
    function ownerOf(uint256 asset) external view returns (address) {
        return COLLECTION.ownerOf(_tokenOf(bytes32(asset)));
    }

    /// @notice There are no sites here.
    function isSite(bytes32) external pure returns (bool) {
        return false;
    }

    /// @notice The id of the asset that a token of `owner` becomes with its first `key`: the same as in Assets.
    function assetId(uint8 curve, bytes calldata key, address owner) public pure returns (bytes32) {
        return keccak256(abi.encodePacked("subak/asset/1", curve, key, owner));
    }

    function _register(Registration calldata r) private returns (bytes32 asset) {
        _requireKey(r.curve, r.key);
        address owner = COLLECTION.ownerOf(r.tokenId);
        bool imports = msg.sender == IMPORTER && block.timestamp < GENESIS;
        if (msg.sender != owner && msg.sender != AUTHORITY && !imports) {
            revert MirrorAssets_NotAllowed(msg.sender, owner);
        }
        if (assetOf[r.tokenId] != 0) revert MirrorAssets_AlreadyRegistered(r.tokenId, assetOf[r.tokenId]);
        asset = assetId(r.curve, r.key, owner);
        if (toldOwner[asset] != address(0)) revert MirrorAssets_KeyTaken(asset, tokenOf[asset]);
        (assetOf[r.tokenId], tokenOf[asset], toldOwner[asset]) = (asset, r.tokenId, owner);
        emit Transfer(address(0), owner, uint256(asset));
        emit Registered(asset, owner, r.kind, r.cell, r.rated, r.curve, r.key);
        emit Mirrored(asset, r.tokenId);
    }

    function _sync(bytes32 asset) private returns (address owner) {
        owner = COLLECTION.ownerOf(_tokenOf(asset));
        address before = toldOwner[asset];
        if (owner == before) return owner;
        toldOwner[asset] = owner;
        emit Transfer(before, owner, uint256(asset));
        emit PayeesSet(asset, new bytes32[](0), new uint32[](0));
    }

    function _requireOwner(bytes32 asset) private {
        address owner = _sync(asset);
        if (msg.sender != owner) revert MirrorAssets_NotAllowed(msg.sender, owner);
    }

    function _tokenOf(bytes32 asset) private view returns (uint256) {
        if (toldOwner[asset] == address(0)) revert MirrorAssets_Unknown(asset);
        return tokenOf[asset];
    }

    function _requireKey(uint8 curve, bytes calldata key) private pure {
        bool good = curve == ED25519
            ? key.length == 32
            : curve == P256 && key.length == 33 && (key[0] == 0x02 || key[0] == 0x03);
        if (!good) revert MirrorAssets_BadKey(curve, key);
    }
}
