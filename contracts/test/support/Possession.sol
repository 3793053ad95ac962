// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {P256 as Curve} from "@openzeppelin/contracts/utils/cryptography/P256.sol";
import {Assets} from "../../src/Assets.sol";
import {Test} from "../Vm.sol";

/// @dev Forge's P-256 device.
interface Device {
    function signP256(uint256 key, bytes32 digest) external pure returns (bytes32 r, bytes32 s);
    function publicKeyP256(uint256 key) external pure returns (uint256 x, uint256 y);
}

/// @dev Something else than the precompile at its address: gives one answer, whatever it is asked.
contract Parrot {
    bytes32 private immutable _ANSWER;

    constructor(bytes32 answer) {
        _ANSWER = answer;
    }

    fallback(bytes calldata) external returns (bytes memory) {
        return abi.encode(_ANSWER);
    }
}

/// @dev RIP-7212 in Solidity, for a chain without it: 160 bytes to 1, or to nothing.
contract SlowPrecompile {
    fallback(bytes calldata input) external returns (bytes memory) {
        (bytes32 h, bytes32 r, bytes32 s, bytes32 x, bytes32 y) =
            abi.decode(input, (bytes32, bytes32, bytes32, bytes32, bytes32));
        return Curve.verifySolidity(h, r, s, x, y) ? abi.encode(1) : new bytes(0);
    }
}

/// @dev Devices with P-256 keys, and what they sign.
abstract contract Possession is Test {
    Device internal constant DEVICES = Device(address(vm));
    address internal constant PRECOMPILE = address(0x100);

    function keyOf(uint256 device) internal pure returns (bytes memory key, bytes32 y) {
        (uint256 x, uint256 high) = DEVICES.publicKeyP256(device);
        return (abi.encodePacked(uint8(2 + high % 2), x), bytes32(high));
    }

    function proofOf(uint256 device, bytes32 digest) internal pure returns (Assets.Proof memory proof) {
        (, proof.y) = keyOf(device);
        (proof.r, proof.s) = DEVICES.signP256(device, digest);
        if (uint256(proof.s) > Curve.N / 2) proof.s = twin(proof.s);
    }

    function twin(bytes32 s) internal pure returns (bytes32) {
        return bytes32(Curve.N - uint256(s));
    }
}
