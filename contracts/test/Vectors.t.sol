// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Assets} from "../src/Assets.sol";
import {Settlement} from "../src/Settlement.sol";
import {Votes} from "../src/Votes.sol";
import {Network} from "./support/Network.sol";

/// @dev The golden vectors that Python and the C example test too.
contract VectorsTest is Network {
    function field(string memory list, uint256 i, string memory name) internal pure returns (string memory) {
        return string.concat(".", list, "[", vm.toString(i), "]", name);
    }

    function test_merkle_everyProofIsPaid() public {
        string memory json = vm.readFile("vectors/merkle.json");
        uint256 sum = 0;
        uint256 n = 0;
        for (; vm.keyExistsJson(json, field("leaves", n, "")); ++n) {
            sum += vm.parseJsonUint(json, field("leaves", n, ".rewards"));
        }
        settles(0, vm.parseJsonBytes32(json, ".root"), sum);
        for (uint256 i = 0; i < n; ++i) {
            address account = vm.parseJsonAddress(json, field("leaves", i, ".account"));
            uint256 rewards = vm.parseJsonUint(json, field("leaves", i, ".rewards"));
            uint256 fees = vm.parseJsonUint(json, field("leaves", i, ".fees"));
            bytes32[] memory proof = vm.parseJsonBytes32Array(json, field("proofs", i, ""));
            if (rewards == 0) {
                vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_ClaimableTooLow.selector, 0, 0));
            }
            settlement.claimRewards(account, rewards, fees, proof);
            vm.assertEq(token.balanceOf(account), rewards);
        }
        vm.assertTrue(n > 3, "no leaves");
        vm.assertEq(token.balanceOf(address(settlement)), 0);
    }

    function test_epochRoot_sameDigest() public {
        string memory json = vm.readFile("vectors/epoch_root.json");
        address there = vm.parseJsonAddress(json, ".domain.verifyingContract");
        vm.etch(there, address(settlement).code);
        vm.chainId(vm.parseJsonUint(json, ".domain.chainId"));
        Settlement.EpochRoot memory r;
        r.first = uint32(vm.parseJsonUint(json, ".message.first"));
        r.last = uint32(vm.parseJsonUint(json, ".message.last"));
        r.prevRoot = vm.parseJsonBytes32(json, ".message.prevRoot");
        r.root = vm.parseJsonBytes32(json, ".message.root");
        r.prevStateRoot = vm.parseJsonBytes32(json, ".message.prevStateRoot");
        r.stateRoot = vm.parseJsonBytes32(json, ".message.stateRoot");
        r.assetRoot = vm.parseJsonBytes32(json, ".message.assetRoot");
        r.verdictsHash = vm.parseJsonBytes32(json, ".message.verdictsHash");
        r.rewards = uint128(vm.parseJsonUint(json, ".message.rewards"));
        r.fees = uint128(vm.parseJsonUint(json, ".message.fees"));
        r.bookHashes = vm.parseJsonBytes32Array(json, ".message.bookHashes");
        r.policyHashes = vm.parseJsonBytes32Array(json, ".message.policyHashes");
        bytes32 result = Settlement(there).resultOf(r);
        uint32 attempt = uint32(vm.parseJsonUint(json, ".attempt"));
        uint32 round = uint32(vm.parseJsonUint(json, ".round"));
        vm.assertEq(result, vm.parseJsonBytes32(json, ".result"));
        vm.assertEq(Settlement(there).digestOf(r.first, attempt, round, result), vm.parseJsonBytes32(json, ".digest"));
        vm.assertEq(Votes.digestOf(there, r.first, attempt, round, result), vm.parseJsonBytes32(json, ".digest"));
    }

    function test_ids_sameIds() public {
        string memory json = vm.readFile("vectors/ids.json");
        Assets assets = new Assets("Subak Assets", "ASSET", GENESIS, address(this));
        uint256 n = 0;
        for (; vm.keyExistsJson(json, field("assets", n, "")); ++n) {
            Assets.Registration memory r = Assets.Registration(
                vm.parseJsonAddress(json, field("assets", n, ".owner")),
                uint8(vm.parseJsonUint(json, field("assets", n, ".curve"))),
                vm.parseJsonBytes(json, field("assets", n, ".key")),
                "energy",
                0,
                0
            );
            vm.assertEq(assets.register(r), vm.parseJsonBytes32(json, field("assets", n, ".id")));
        }
        vm.assertTrue(n != 0, "no assets");
        for (n = 0; vm.keyExistsJson(json, field("sites", n, "")); ++n) {
            address owner = vm.parseJsonAddress(json, field("sites", n, ".owner"));
            bytes32 salt = vm.parseJsonBytes32(json, field("sites", n, ".salt"));
            vm.assertEq(assets.registerSite(owner, salt, 0), vm.parseJsonBytes32(json, field("sites", n, ".id")));
        }
        vm.assertTrue(n != 0, "no sites");
    }
}
