// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {Attestations} from "../src/Attestations.sol";
import {Test} from "./Vm.sol";

contract AttestationsTest is Test {
    uint40 internal constant NOW = 1_700_000_000;
    uint40 internal constant LATER = NOW + 1 days;
    bytes32 internal constant INSTALLED = "installed";
    bytes32 internal constant PERSON = "person";
    bytes32 internal constant SUBJECT = keccak256("asset");
    address internal constant AUTHORITY = address(0xA0);
    uint256 internal constant KEY = 0x155;
    uint256 internal constant N = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;

    Attestations internal attestations;
    address internal issuer;

    function setUp() public {
        vm.warp(NOW);
        issuer = vm.addr(KEY);
        (bytes32[] memory topics, address[] memory issuers) = pairs(INSTALLED, issuer);
        attestations = new Attestations(AUTHORITY, topics, issuers);
    }

    function pairs(bytes32 topic, address who) internal pure returns (bytes32[] memory topics, address[] memory issuers) {
        topics = new bytes32[](1);
        issuers = new address[](1);
        (topics[0], issuers[0]) = (topic, who);
    }

    function attests(address by, uint40 expiry) internal {
        vm.prank(by);
        attestations.attest(SUBJECT, INSTALLED, expiry);
    }

    function sets(address who, bool accepted) internal {
        vm.prank(AUTHORITY);
        attestations.setIssuer(INSTALLED, who, accepted);
    }

    function signs(uint256 key, uint40 expiry, uint64 number) internal view returns (bytes32 r, bytes32 vs) {
        (uint8 v, bytes32 half, bytes32 s) = vm.sign(key, attestations.digestOf(SUBJECT, INSTALLED, expiry, number));
        return (half, bytes32(uint256(s) | (uint256(v - 27) << 255)));
    }

    function handsIn(uint256 key, uint40 expiry, uint64 number) internal {
        (bytes32 r, bytes32 vs) = signs(key, expiry, number);
        attestations.attestBySig(SUBJECT, INSTALLED, expiry, issuer, r, vs);
    }

    function holds() internal view returns (bool) {
        return attestations.holds(SUBJECT, INSTALLED);
    }

    function test_constructor_acceptsPairs() public {
        (bytes32[] memory topics, address[] memory issuers) = pairs(PERSON, address(7));
        attestations = new Attestations(AUTHORITY, topics, issuers);
        vm.assertEq(attestations.issuersOf(PERSON).length, 1);
        vm.assertEq(attestations.issuersOf(PERSON)[0], address(7));
        vm.assertEq(attestations.issuersOf(INSTALLED).length, 0);
    }

    function test_constructor_revertsOnLengths() public {
        vm.expectRevert(abi.encodeWithSelector(Attestations.Attestations_LengthsDiffer.selector, 1, 0));
        new Attestations(AUTHORITY, new bytes32[](1), new address[](0));
    }

    function test_setIssuer_tells() public {
        vm.expectEmit(address(attestations));
        emit Attestations.IssuerSet(INSTALLED, address(7), true);
        sets(address(7), true);
        vm.expectEmit(address(attestations));
        emit Attestations.IssuerSet(INSTALLED, address(7), false);
        sets(address(7), false);
        vm.assertEq(attestations.issuersOf(INSTALLED).length, 1);
    }

    function test_J84_setIssuerRevertsForOthers() public {
        vm.expectRevert(abi.encodeWithSelector(Attestations.Attestations_NotAuthority.selector, issuer, AUTHORITY));
        vm.prank(issuer);
        attestations.setIssuer(INSTALLED, issuer, false);
    }

    function test_setIssuer_revertsOnNoChange() public {
        vm.expectRevert(
            abi.encodeWithSelector(Attestations.Attestations_IssuerUnchanged.selector, INSTALLED, issuer, true)
        );
        sets(issuer, true);
        vm.expectRevert(
            abi.encodeWithSelector(Attestations.Attestations_IssuerUnchanged.selector, INSTALLED, address(7), false)
        );
        sets(address(7), false);
    }

    function test_setIssuer_revertsOnZero() public {
        vm.expectRevert(abi.encodeWithSelector(Attestations.Attestations_IssuerZero.selector, INSTALLED));
        sets(address(0), true);
    }

    function test_setIssuer_boundsTheirNumber() public {
        for (uint160 i = 1; i < attestations.MAX_ISSUERS(); ++i) {
            sets(address(i), true);
        }
        vm.expectRevert(abi.encodeWithSelector(Attestations.Attestations_TooManyIssuers.selector, INSTALLED, 16));
        sets(address(99), true);
        sets(address(3), false);
        sets(address(99), true);
    }

    function test_attest_tells() public {
        vm.expectEmit(address(attestations));
        emit Attestations.Attested(SUBJECT, INSTALLED, issuer, LATER);
        attests(issuer, LATER);
        vm.assertTrue(holds());
        vm.assertFalse(attestations.holds(SUBJECT, PERSON));
        vm.assertFalse(attestations.holds(bytes32(0), INSTALLED));
    }

    function test_attest_endsAtExpiry() public {
        attests(issuer, LATER);
        vm.warp(LATER - 1);
        vm.assertTrue(holds());
        vm.warp(LATER);
        vm.assertFalse(holds());
    }

    function test_attest_revertsForOthers() public {
        vm.expectRevert(abi.encodeWithSelector(Attestations.Attestations_NotIssuer.selector, INSTALLED, address(this)));
        attestations.attest(SUBJECT, INSTALLED, LATER);
        vm.expectRevert(abi.encodeWithSelector(Attestations.Attestations_NotIssuer.selector, PERSON, issuer));
        vm.prank(issuer);
        attestations.attest(SUBJECT, PERSON, LATER);
    }

    function test_attest_revertsWhenExpired() public {
        vm.expectRevert(abi.encodeWithSelector(Attestations.Attestations_Expired.selector, NOW, NOW));
        attests(issuer, NOW);
    }

    function test_attest_replacesTheWordBefore() public {
        attests(issuer, LATER);
        attests(issuer, NOW + 1);
        vm.warp(NOW + 1);
        vm.assertFalse(holds());
    }

    function test_holds_anyAcceptedIssuersWord() public {
        sets(address(7), true);
        attests(issuer, NOW + 1);
        attests(address(7), LATER);
        vm.warp(NOW + 1);
        vm.assertTrue(holds());
        vm.prank(issuer);
        attestations.revoke(SUBJECT, INSTALLED);
        vm.assertTrue(holds());
        vm.prank(address(7));
        attestations.revoke(SUBJECT, INSTALLED);
        vm.assertFalse(holds());
    }

    function test_revoke_tells() public {
        attests(issuer, LATER);
        vm.expectEmit(address(attestations));
        emit Attestations.Revoked(SUBJECT, INSTALLED, issuer);
        vm.prank(issuer);
        attestations.revoke(SUBJECT, INSTALLED);
        vm.assertFalse(holds());
    }

    function test_revoke_ofOthersChangesNothing() public {
        attests(issuer, LATER);
        attestations.revoke(SUBJECT, INSTALLED);
        vm.assertTrue(holds());
    }

    function test_H77_dismissedIssuersWordDoesNotCount() public {
        attests(issuer, LATER);
        sets(issuer, false);
        vm.assertFalse(holds());
        sets(issuer, true);
        vm.assertTrue(holds());
        sets(issuer, false);
        vm.prank(issuer);
        attestations.revoke(SUBJECT, INSTALLED);
        sets(issuer, true);
        vm.assertFalse(holds());
    }

    function test_attestBySig_byAnyone() public {
        vm.expectEmit(address(attestations));
        emit Attestations.Attested(SUBJECT, INSTALLED, issuer, LATER);
        handsIn(KEY, LATER, 0);
        vm.assertTrue(holds());
        handsIn(KEY, LATER + 1, 1);
        vm.warp(LATER);
        vm.assertTrue(holds());
    }

    function test_attestBySig_digestIsEip712() public view {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Subak Attestations"),
                keccak256("1"),
                block.chainid,
                address(attestations)
            )
        );
        bytes32 typehash = keccak256("Attest(bytes32 subject,bytes32 topic,uint40 expiry,uint64 number)");
        bytes32 message = keccak256(abi.encode(typehash, SUBJECT, INSTALLED, LATER, 3));
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", domain, message));
        vm.assertEq(attestations.digestOf(SUBJECT, INSTALLED, LATER, 3), digest);
    }

    function test_H77_revocationVoidsWhatWasSigned() public {
        (bytes32 r, bytes32 vs) = signs(KEY, LATER, 0);
        attestations.attestBySig(SUBJECT, INSTALLED, LATER, issuer, r, vs);
        vm.prank(issuer);
        attestations.revoke(SUBJECT, INSTALLED);
        vm.expectRevert();
        attestations.attestBySig(SUBJECT, INSTALLED, LATER, issuer, r, vs);
        (r, vs) = signs(KEY, LATER, 2);
        vm.prank(issuer);
        attestations.revoke(SUBJECT, INSTALLED);
        vm.expectRevert();
        attestations.attestBySig(SUBJECT, INSTALLED, LATER, issuer, r, vs);
        vm.assertFalse(holds());
    }

    function test_B21_signatureOfAnotherChainReverts() public {
        (bytes32 r, bytes32 vs) = signs(KEY, LATER, 0);
        vm.chainId(block.chainid + 1);
        vm.expectRevert();
        attestations.attestBySig(SUBJECT, INSTALLED, LATER, issuer, r, vs);
    }

    function test_B19_anotherKeysSignatureReverts() public {
        (bytes32 r, bytes32 vs) = signs(KEY + 1, LATER, 0);
        vm.expectRevert(
            abi.encodeWithSelector(Attestations.Attestations_NotSigned.selector, issuer, vm.addr(KEY + 1))
        );
        attestations.attestBySig(SUBJECT, INSTALLED, LATER, issuer, r, vs);
    }

    function test_B19_highSReverts() public {
        (bytes32 r, bytes32 vs) = signs(KEY, LATER, 0);
        uint256 s = uint256(vs) & (type(uint256).max >> 1);
        bytes32 high = bytes32(N - s);
        // The compact form has no room for the parity beside a high s; what it does carry is refused or recovers another signer.
        vm.expectRevert();
        attestations.attestBySig(SUBJECT, INSTALLED, LATER, issuer, r, high);
    }

    function test_B19_signatureOfNobodyReverts() public {
        vm.expectRevert(ECDSA.ECDSAInvalidSignature.selector);
        attestations.attestBySig(SUBJECT, INSTALLED, LATER, address(0), bytes32(0), bytes32(0));
    }

    function test_attestBySig_revertsForDismissedIssuer() public {
        sets(issuer, false);
        (bytes32 r, bytes32 vs) = signs(KEY, LATER, 0);
        vm.expectRevert(abi.encodeWithSelector(Attestations.Attestations_NotIssuer.selector, INSTALLED, issuer));
        attestations.attestBySig(SUBJECT, INSTALLED, LATER, issuer, r, vs);
    }

    function testFuzz_holds_isTheLastWord(uint256 seed) public {
        sets(address(7), true);
        address[2] memory by = [issuer, address(7)];
        uint40[2] memory until;
        for (uint256 i = 0; i < 24; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint256 who = seed % 2;
            if ((seed >> 8) % 3 == 0) {
                vm.prank(by[who]);
                attestations.revoke(SUBJECT, INSTALLED);
                until[who] = 0;
            } else {
                until[who] = uint40(block.timestamp + 1 + (seed >> 16) % 5 hours);
                attests(by[who], until[who]);
            }
            vm.warp(block.timestamp + (seed >> 64) % 3 hours);
            vm.assertTrue(holds() == (block.timestamp < until[0] || block.timestamp < until[1]));
        }
    }
}
