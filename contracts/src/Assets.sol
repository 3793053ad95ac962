// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";

/// @title The things that earn, and the sites they stand on.
/// @notice Every asset and every site is an ERC-721 token whose id says who registered it first and, for an asset, with which key.
/// What the network knows about them is in the events; a change acts from the epoch after its block.
/// Anyone can register any key for himself: an asset earns only after its device has signed whose it is.
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

    error Assets_NotAllowed(address sender, address owner);
    error Assets_BadKey(uint8 curve, bytes key);
    error Assets_AlreadyRegistered(bytes32 id);
    error Assets_SiteHasNoKey(bytes32 site);
    error Assets_PayeeCount(uint256 payees, uint256 parts, uint256 most);
    error Assets_BadPayee(bytes32 asset, bytes32 payee);
    error Assets_PartZero(bytes32 payee);
    error Assets_PartsTooLarge(uint256 sum, uint256 most);

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

    /// @notice Gives an asset a new device key; its id stays.
    function rotateKey(bytes32 asset, uint8 curve, bytes calldata key) external {
        _requireOwner(asset);
        if (isSite[asset]) revert Assets_SiteHasNoKey(asset);
        _requireKey(curve, key);
        emit KeyRotated(asset, curve, key);
    }

    /// @notice The id of the asset that `owner` registers with its first `key`: another owner gets another id.
    function assetId(uint8 curve, bytes calldata key, address owner) public pure returns (bytes32) {
        return keccak256(abi.encodePacked("subak/asset/1", curve, key, owner));
    }

    /// @notice The id of the site that `owner` registers with `salt`.
    function siteId(address owner, bytes32 salt) public pure returns (bytes32) {
        return keccak256(abi.encodePacked("subak/site/1", owner, salt));
    }

    function _register(Registration calldata r) private returns (bytes32 asset) {
        _requireKey(r.curve, r.key);
        asset = assetId(r.curve, r.key, r.owner);
        _create(asset, r.owner);
        emit Registered(asset, r.owner, r.kind, r.cell, r.rated, r.curve, r.key);
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
}
