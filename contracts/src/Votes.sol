// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @title What verifiers sign, for whoever counts votes and whoever proves faults by them.
library Votes {
    bytes32 internal constant RESULT_TYPEHASH = keccak256(
        "EpochRoot(uint32 first,uint32 last,bytes32 prevRoot,bytes32 root,bytes32 prevStateRoot,bytes32 stateRoot,bytes32 assetRoot,bytes32 verdictsHash,uint128 rewards,uint128 fees,bytes32[] bookHashes,bytes32[] policyHashes)"
    );
    bytes32 internal constant TYPEHASH = keccak256(
        "Vote(uint32 first,uint32 attempt,uint32 round,EpochRoot result)EpochRoot(uint32 first,uint32 last,bytes32 prevRoot,bytes32 root,bytes32 prevStateRoot,bytes32 stateRoot,bytes32 assetRoot,bytes32 verdictsHash,uint128 rewards,uint128 fees,bytes32[] bookHashes,bytes32[] policyHashes)"
    );

    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant NAME_HASH = keccak256("Subak Settlement");
    bytes32 private constant VERSION_HASH = keccak256("1");

    /// @dev Half the order of secp256k1: every signature has a twin above it.
    uint256 private constant MAX_S = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;

    /// @notice Who signed `digest`: ECDSA.recover of an EIP-2098 compact signature, with its errors, at less gas beside the precompile's.
    function signerOf(bytes32 digest, bytes32 r, bytes32 vs) internal view returns (address signer) {
        bytes32 s;
        assembly ("memory-safe") {
            let m := mload(0x40)
            s := shr(1, shl(1, vs))
            mstore(m, digest)
            mstore(add(m, 32), add(27, shr(255, vs)))
            mstore(add(m, 64), r)
            mstore(add(m, 96), s)
            // Nothing is written for what recovers to nobody.
            mstore(0, 0)
            pop(staticcall(gas(), 1, m, 128, 0, 32))
            signer := mload(0)
        }
        if (uint256(s) > MAX_S) revert ECDSA.ECDSAInvalidSignatureS(s);
        if (signer == address(0)) revert ECDSA.ECDSAInvalidSignature();
    }

    /// @notice The EIP-712 digest of a vote for `settlement` on this chain: what its `digestOf` says, without asking it.
    function digestOf(address settlement, uint32 first, uint32 attempt, uint32 round, bytes32 result)
        internal
        view
        returns (bytes32)
    {
        bytes32 domain =
            keccak256(abi.encode(DOMAIN_TYPEHASH, NAME_HASH, VERSION_HASH, block.chainid, settlement));
        bytes32 vote = keccak256(abi.encode(TYPEHASH, first, attempt, round, result));
        return keccak256(abi.encodePacked(hex"1901", domain, vote));
    }
}
