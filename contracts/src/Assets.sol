// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import {P256 as Curve} from "@openzeppelin/contracts/utils/cryptography/P256.sol";

/// @title The things that earn, and the sites they stand on.
/// @notice Every asset and every site is an ERC-721 token whose id says who registered it first and, for an asset, with which key.
/// What the network knows about them is in the events; a change acts from the epoch after its block.
/// Anyone can register any key for himself: an asset earns only after its device has signed whose it is. It signs a Possession
/// Entry, which the verifiers check; where the chain can check P-256, it can sign `possessionDigest`, and `Possessed` says so.
/// Either speaks of the key and the owner of the day. After a new key an asset still earns only from Entries that this key signed
/// and that name the asset: no device can be made to earn for an asset that it does not name.
contract Assets is ERC721 {
    /// @param owner first owner; part of the asset's id
    /// @param curve ED25519 or P256
    /// @param key the device's public key: 32 bytes, or 33 compressed
    /// @param kind which rules judge it
    /// @param cell H3 index of where it is
    /// @param rated its rated capacity, in the unit of its kind
    struct Registration {
        address owner;
        uint8 curve;
        bytes key;
        bytes32 kind;
        uint64 cell;
        uint64 rated;
    }

    /// @notice A device's signature of `possessionDigest`, by a P-256 key.
    /// @param y the other coordinate of the key's point; its parity is the key's first byte
    /// @param r with `s`, at most half the curve's order, the signature
    struct Proof {
        bytes32 y;
        bytes32 r;
        bytes32 s;
    }

    uint8 public constant ED25519 = 1;
    uint8 public constant P256 = 2;

    /// @notice The most payees that one asset or site can name.
    uint256 public constant MAX_PAYEES = 16;

    /// @notice Unix time in seconds from which the importer is nobody.
    uint64 public immutable GENESIS;

    /// @notice May register for others before genesis.
    address public immutable IMPORTER;

    /// @notice Whether an id is a site: it has no key, and assets can name it as a payee.
    mapping(bytes32 id => bool) public isSite;

    event Registered(
        bytes32 indexed asset, address indexed owner, bytes32 kind, uint64 cell, uint64 rated, uint8 curve, bytes key
    );
    event SiteRegistered(bytes32 indexed site, address indexed owner, uint64 cell);
    /// @notice Who is paid for `asset`, by `parts`; empty lists mean its owner.
    event PayeesSet(bytes32 indexed asset, bytes32[] payees, uint32[] parts);
    event KeyRotated(bytes32 indexed asset, uint8 curve, bytes key);
    /// @notice The device signed that `owner` holds `asset`: with the key that `Registered` or `KeyRotated` told just before. It
    /// counts until the asset's next `KeyRotated`, and while `owner` owns it.
    event Possessed(bytes32 indexed asset, address indexed owner);

    error Assets_NotAllowed(address sender, address owner);
    error Assets_BadKey(uint8 curve, bytes key);
    error Assets_AlreadyRegistered(bytes32 id);
    error Assets_SiteHasNoKey(bytes32 site);
    error Assets_PayeeCount(uint256 payees, uint256 parts, uint256 most);
    error Assets_BadPayee(bytes32 asset, bytes32 payee);
    error Assets_PartZero(bytes32 payee);
    error Assets_PartsTooLarge(uint256 sum, uint256 most);
    error Assets_NoProofFor(uint8 curve);
    error Assets_NoPrecompile();
    error Assets_BadPoint(bytes32 x, bytes32 y);
    error Assets_BadProof(bytes32 asset, address owner);

    constructor(string memory name, string memory symbol, uint64 genesis, address importer) ERC721(name, symbol) {
        GENESIS = genesis;
        IMPORTER = importer;
    }

    /// @notice Makes an asset of a device, for its owner; before genesis the importer may do it for others.
    function register(Registration calldata r) external returns (bytes32 asset) {
        return _register(r);
    }

    /// @notice Registers several assets, all or none.
    function registerMany(Registration[] calldata rs) external {
        for (uint256 i = 0; i < rs.length; ++i) {
            _register(rs[i]);
        }
    }

    /// @notice Registers a P-256 device with its own signature that it is its owner's; `Possessed` follows `Registered`. Reverts
    /// with Assets_NoPrecompile on a chain without RIP-7212 or EIP-7951: call `register` there, the verifiers take its Entry.
    function registerWithProof(Registration calldata r, Proof calldata proof) external returns (bytes32 asset) {
        asset = _register(r);
        if (r.curve != P256) revert Assets_NoProofFor(r.curve);
        _requirePossession(asset, r.owner, r.key, proof);
    }

    /// @notice Makes a site (a roof, a tower, a rack) that the owner's or other people's assets can name as a payee.
    /// @param salt tells one owner's sites apart
    function registerSite(address owner, bytes32 salt, uint64 cell) external returns (bytes32 site) {
        site = siteId(owner, salt);
        _create(site, owner);
        isSite[site] = true;
        emit SiteRegistered(site, owner, cell);
    }

    /// @notice Says who is paid for an asset or a site, in proportion to `parts`; empty lists mean its owner.
    /// @param payees addresses, left-padded with zeros, or for an asset also sites
    /// @param parts each above 0; their sum fits uint32
    function setPayees(bytes32 asset, bytes32[] calldata payees, uint32[] calldata parts) external {
        _requireOwner(asset);
        if (payees.length != parts.length || payees.length > MAX_PAYEES) {
            revert Assets_PayeeCount(payees.length, parts.length, MAX_PAYEES);
        }
        uint256 sum = 0;
        for (uint256 i = 0; i < payees.length; ++i) {
            bytes32 payee = payees[i];
            bool isAddress = payee != 0 && uint256(payee) <= type(uint160).max;
            if (!isAddress && (isSite[asset] || !isSite[payee])) revert Assets_BadPayee(asset, payee);
            if (parts[i] == 0) revert Assets_PartZero(payee);
            sum += parts[i];
        }
        if (sum > type(uint32).max) revert Assets_PartsTooLarge(sum, type(uint32).max);
        emit PayeesSet(asset, payees, parts);
    }

    /// @notice Gives an asset a new device key; its id stays. What the old device signed about its owner is void.
    function rotateKey(bytes32 asset, uint8 curve, bytes calldata key) external {
        _rotateKey(asset, curve, key);
    }

    /// @notice Gives an asset a new P-256 key with the new device's own signature; `Possessed` follows `KeyRotated`. A new owner can
    /// call it with the key that the asset has: that the same device now signs for somebody else. Reverts like `registerWithProof`.
    function rotateKeyWithProof(bytes32 asset, bytes calldata key, Proof calldata proof) external {
        _rotateKey(asset, P256, key);
        _requirePossession(asset, msg.sender, key, proof);
    }

    /// @notice The id of the asset that `owner` registers with its first `key`: another owner gets another id.
    function assetId(uint8 curve, bytes calldata key, address owner) public pure returns (bytes32) {
        return keccak256(abi.encodePacked("subak/asset/1", curve, key, owner));
    }

    /// @notice The id of the site that `owner` registers with `salt`.
    function siteId(address owner, bytes32 salt) public pure returns (bytes32) {
        return keccak256(abi.encodePacked("subak/site/1", owner, salt));
    }

    /// @notice What a device signs to say that `owner` holds `asset`: SHA-256 of five 32-byte words, in this order: the ASCII text
    /// "subak/possession/1" padded on the right with zeros, the chain's id, this contract, the asset's id, the owner; the number and
    /// both addresses padded on the left with zeros. A device that hashes what it signs is given those 160 bytes.
    function possessionDigest(bytes32 asset, address owner) public view returns (bytes32) {
        return sha256(abi.encode(bytes32("subak/possession/1"), block.chainid, address(this), asset, owner));
    }

    function _register(Registration calldata r) private returns (bytes32 asset) {
        _requireKey(r.curve, r.key);
        asset = assetId(r.curve, r.key, r.owner);
        _create(asset, r.owner);
        emit Registered(asset, r.owner, r.kind, r.cell, r.rated, r.curve, r.key);
    }

    function _rotateKey(bytes32 asset, uint8 curve, bytes calldata key) private {
        _requireOwner(asset);
        if (isSite[asset]) revert Assets_SiteHasNoKey(asset);
        _requireKey(curve, key);
        emit KeyRotated(asset, curve, key);
    }

    function _create(bytes32 id, address owner) private {
        bool imports = msg.sender == IMPORTER && block.timestamp < GENESIS;
        if (msg.sender != owner && !imports) revert Assets_NotAllowed(msg.sender, owner);
        if (_ownerOf(uint256(id)) != address(0)) revert Assets_AlreadyRegistered(id);
        _mint(owner, uint256(id));
    }

    /// @dev A buyer gets the earnings: whoever the seller named is paid no longer.
    function _update(address to, uint256 id, address auth) internal override returns (address from) {
        from = super._update(to, id, auth);
        if (from != address(0)) emit PayeesSet(bytes32(id), new bytes32[](0), new uint32[](0));
    }

    function _requireOwner(bytes32 id) private view {
        address owner = _requireOwned(uint256(id));
        if (msg.sender != owner) revert Assets_NotAllowed(msg.sender, owner);
    }

    function _requireKey(uint8 curve, bytes calldata key) private pure {
        bool good = curve == ED25519
            ? key.length == 32
            : curve == P256 && key.length == 33 && (key[0] == 0x02 || key[0] == 0x03);
        if (!good) revert Assets_BadKey(curve, key);
    }

    /// @param key compressed, its shape checked
    function _requirePossession(bytes32 asset, address owner, bytes calldata key, Proof calldata proof) private {
        bytes32 x = bytes32(key[1:]);
        bool sameParity = uint256(proof.y) & 1 == uint256(uint8(key[0])) & 1;
        if (!sameParity || !Curve.isValidPublicKey(x, proof.y)) revert Assets_BadPoint(x, proof.y);
        _requirePrecompile();
        if (!Curve.verifyNative(possessionDigest(asset, owner), proof.r, proof.s, x, proof.y)) {
            revert Assets_BadProof(asset, owner);
        }
        emit Possessed(asset, owner);
    }

    /// @dev One signature from Wycheproof that must pass and its neighbour that must not: silence is a chain without the precompile,
    /// and whatever else lives at its address may well say yes to everything.
    function _requirePrecompile() private view {
        bytes32 digest = 0xbb5a52f42f9c9261ed4361f59422a1e30036e7c32b270c8807a419feca605023;
        if (!_verifies(digest) || _verifies(~digest)) revert Assets_NoPrecompile();
    }

    function _verifies(bytes32 digest) private view returns (bool) {
        (bool answered, bytes memory answer) = address(0x100)
            .staticcall(
                abi.encode(
                    digest,
                    uint256(5),
                    uint256(1),
                    0xa71af64de5126a4a4e02b7922d66ce9415ce88a4c9d25514d91082c8725ac957,
                    0x5d47723c8fbe580bb369fec9c2665d8e30a435b9932645482e7c9f11e872296b
                )
            );
        return answered && answer.length != 0 && bytes32(answer) != 0;
    }
}
