// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {EnumerableSet} from "@openzeppelin/contracts/utils/structs/EnumerableSet.sol";

/// @title Who vouches for what, until when.
/// @notice For each topic ("installed", "person", ...; ASCII, padded with zeros) the authority accepts issuers. An issuer attests
/// that a subject (an asset's id, or an address left-padded with zeros) has the topic until an expiry, and can take its word back.
/// The word of an issuer that is no longer accepted does not count; it counts again if the issuer is accepted again.
contract Attestations is EIP712 {
    using EnumerableSet for EnumerableSet.AddressSet;

    /// @param expiry unix time in seconds from which the word no longer counts; 0 if none was given or it was taken back
    /// @param number how often it was given or taken back: the number that the next signed attestation must carry
    struct Word {
        uint40 expiry;
        uint64 number;
    }

    /// @notice The most issuers that one topic can have at once: `holds` asks each of them.
    uint256 public constant MAX_ISSUERS = 16;

    bytes32 public constant ATTEST_TYPEHASH =
        keccak256("Attest(bytes32 subject,bytes32 topic,uint40 expiry,uint64 number)");

    /// @notice The only account that may accept and dismiss issuers.
    address public immutable AUTHORITY;

    /// @notice What each issuer said last, whether it is accepted now or not.
    mapping(bytes32 subject => mapping(bytes32 topic => mapping(address issuer => Word))) public words;

    mapping(bytes32 topic => EnumerableSet.AddressSet) private _issuers;

    event IssuerSet(bytes32 indexed topic, address indexed issuer, bool accepted);
    event Attested(bytes32 indexed subject, bytes32 indexed topic, address indexed issuer, uint40 expiry);
    event Revoked(bytes32 indexed subject, bytes32 indexed topic, address indexed issuer);

    error Attestations_NotAuthority(address sender, address authority);
    error Attestations_LengthsDiffer(uint256 topics, uint256 issuers);
    error Attestations_IssuerZero(bytes32 topic);
    error Attestations_IssuerUnchanged(bytes32 topic, address issuer, bool accepted);
    error Attestations_TooManyIssuers(bytes32 topic, uint256 most);
    error Attestations_NotIssuer(bytes32 topic, address issuer);
    error Attestations_Expired(uint40 expiry, uint256 time);
    error Attestations_NotSigned(address issuer, address signer);

    /// @param topics with `issuers` the pairs that are accepted from the beginning
    constructor(address authority, bytes32[] memory topics, address[] memory issuers) EIP712("Subak Attestations", "1") {
        if (topics.length != issuers.length) revert Attestations_LengthsDiffer(topics.length, issuers.length);
        AUTHORITY = authority;
        for (uint256 i = 0; i < topics.length; ++i) {
            _setIssuer(topics[i], issuers[i], true);
        }
    }

    /// @notice Accepts or dismisses an issuer of a topic, at once.
    function setIssuer(bytes32 topic, address issuer, bool accepted) external {
        if (msg.sender != AUTHORITY) revert Attestations_NotAuthority(msg.sender, AUTHORITY);
        _setIssuer(topic, issuer, accepted);
    }

    /// @notice The caller's word that `subject` has `topic` until `expiry`, in unix seconds; replaces its earlier one.
    function attest(bytes32 subject, bytes32 topic, uint40 expiry) external {
        _attest(subject, topic, expiry, msg.sender);
    }

    /// @notice Hands in the word that `issuer` signed, by `digestOf` with the number of its word now. Anyone can call it, once:
    /// whatever the issuer says or takes back about this subject and topic voids what it signed before.
    /// @param r with `vs` its EIP-2098 compact signature
    function attestBySig(bytes32 subject, bytes32 topic, uint40 expiry, address issuer, bytes32 r, bytes32 vs) external {
        bytes32 digest = digestOf(subject, topic, expiry, words[subject][topic][issuer].number);
        address signer = ECDSA.recover(digest, r, vs);
        if (signer != issuer) revert Attestations_NotSigned(issuer, signer);
        _attest(subject, topic, expiry, issuer);
    }

    /// @notice Takes back the caller's word, and voids what it signed about this subject and topic and nobody handed in yet.
    /// Also a dismissed issuer can do it.
    function revoke(bytes32 subject, bytes32 topic) external {
        Word storage word = words[subject][topic][msg.sender];
        word.expiry = 0;
        ++word.number;
        emit Revoked(subject, topic, msg.sender);
    }

    /// @notice Whether any accepted issuer's word that `subject` has `topic` stands now.
    function holds(bytes32 subject, bytes32 topic) external view returns (bool) {
        EnumerableSet.AddressSet storage accepted = _issuers[topic];
        mapping(address issuer => Word) storage said = words[subject][topic];
        for (uint256 i = accepted.length(); i > 0; --i) {
            if (block.timestamp < said[accepted.at(i - 1)].expiry) return true;
        }
        return false;
    }

    /// @notice The issuers of `topic` that are accepted now, in no order.
    function issuersOf(bytes32 topic) external view returns (address[] memory) {
        return _issuers[topic].values();
    }

    /// @notice What an issuer signs: the EIP-712 digest of its word number `number` on this subject and topic.
    function digestOf(bytes32 subject, bytes32 topic, uint40 expiry, uint64 number) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(ATTEST_TYPEHASH, subject, topic, expiry, number)));
    }

    function _setIssuer(bytes32 topic, address issuer, bool accepted) private {
        if (issuer == address(0)) revert Attestations_IssuerZero(topic);
        EnumerableSet.AddressSet storage issuers = _issuers[topic];
        bool changed = accepted ? issuers.add(issuer) : issuers.remove(issuer);
        if (!changed) revert Attestations_IssuerUnchanged(topic, issuer, accepted);
        if (issuers.length() > MAX_ISSUERS) revert Attestations_TooManyIssuers(topic, MAX_ISSUERS);
        emit IssuerSet(topic, issuer, accepted);
    }

    function _attest(bytes32 subject, bytes32 topic, uint40 expiry, address issuer) private {
        if (!_issuers[topic].contains(issuer)) revert Attestations_NotIssuer(topic, issuer);
        if (expiry <= block.timestamp) revert Attestations_Expired(expiry, block.timestamp);
        Word storage word = words[subject][topic][issuer];
        word.expiry = expiry;
        ++word.number;
        emit Attested(subject, topic, issuer, expiry);
    }
}
