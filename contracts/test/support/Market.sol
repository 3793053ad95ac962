// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Channels} from "../../src/Channels.sol";
import {Network} from "./Network.sol";

/// @dev Customers of the network, their lanes and vouchers, and what a clerk signs. Everything signed is hashed here a second time, so
/// that Channels is not tested against itself.
abstract contract Market is Network {
    /// @dev A voucher with the key that signs it.
    struct Voucher {
        Channels.Lane lane;
        uint64 seq;
        uint128 total;
        bytes32 lines;
        uint256 session;
    }

    /// @dev The arguments of `redeemMany`.
    struct Batch {
        Channels.Lane[] lanes;
        uint64[] seqs;
        uint128[] totals;
        bytes32[] lines;
        bytes32[] rs;
        bytes32[] vss;
        bytes32 clerkR;
        bytes32 clerkVs;
    }

    address internal constant CUSTOMER = address(0xC001);
    uint256 internal constant SESSION = 0x5e55;
    uint40 internal constant LIFE = 5 days;

    /// @dev Puts `amount` into a customer's channel.
    function funds(address customer, uint128 amount) internal {
        gives(address(this), amount);
        payment().approve(address(channels), amount);
        channels.deposit(customer, amount);
    }

    /// @dev Hands out what customers pay in.
    function gives(address to, uint256 amount) internal {
        if (address(payment()) == address(coin)) coin.mint(to, amount);
        else token.transfer(to, amount);
    }

    function clerk(uint256 i) internal view returns (address) {
        return vm.addr(keys[i]);
    }

    /// @dev A lane of CUSTOMER with the first verifier as its clerk.
    function lane(uint128 limit) internal returns (Channels.Lane memory) {
        return lane(CUSTOMER, SESSION, clerk(0), limit);
    }

    function lane(address customer, uint256 session, address by, uint128 limit) internal returns (Channels.Lane memory l) {
        (, uint64 number) = channels.channel(customer);
        l = Channels.Lane(customer, vm.addr(session), by, limit, uint40(block.timestamp) + LIFE, number);
        vm.prank(customer);
        bytes32 id = channels.openLane(l.key, l.clerk, l.limit, l.expiry);
        vm.assertEq(id, idOf(l));
    }

    function idOf(Channels.Lane memory l) internal pure returns (bytes32) {
        return keccak256(abi.encode(l.customer, l.key, l.clerk, l.limit, l.expiry, l.number));
    }

    function closesAt(Channels.Lane memory l) internal view returns (uint40 closing) {
        (, closing,,) = channels.laneState(idOf(l));
    }

    function spent(Channels.Lane memory l) internal view returns (uint128 redeemed) {
        (redeemed,,,) = channels.laneState(idOf(l));
    }

    function free(address customer) internal view returns (uint128 amount) {
        (amount,) = channels.channel(customer);
    }

    function line(uint256 asset, uint128 money) internal pure returns (Channels.Line memory) {
        return Channels.Line(bytes32(asset), money);
    }

    function lines(uint256 a, uint128 moneyA) internal pure returns (Channels.Line[] memory l) {
        l = new Channels.Line[](1);
        l[0] = line(a, moneyA);
    }

    function lines(uint256 a, uint128 moneyA, uint256 b, uint128 moneyB) internal pure returns (Channels.Line[] memory l) {
        l = new Channels.Line[](2);
        (l[0], l[1]) = (line(a, moneyA), line(b, moneyB));
    }

    function linesHash(Channels.Line[] memory l) internal pure returns (bytes32) {
        bytes32[] memory hashes = new bytes32[](l.length);
        for (uint256 i = 0; i < l.length; ++i) {
            hashes[i] = keccak256(abi.encode(keccak256("Line(bytes32 asset,uint128 money)"), l[i].asset, l[i].money));
        }
        return keccak256(abi.encodePacked(hashes));
    }

    function structHash(Voucher memory v) internal pure returns (bytes32) {
        bytes32 typehash =
            keccak256("Voucher(bytes32 lane,uint64 seq,uint128 total,Line[] lines)Line(bytes32 asset,uint128 money)");
        return keccak256(abi.encode(typehash, idOf(v.lane), v.seq, v.total, v.lines));
    }

    function listHash(bytes32[] memory list) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(keccak256("Countersigned(bytes32[] vouchers)"), keccak256(abi.encodePacked(list)))
        );
    }

    function digestOf(bytes32 hash) internal view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Subak Channels"),
                keccak256("1"),
                block.chainid,
                address(channels)
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, hash));
    }

    /// @dev All of `total` for one asset.
    function voucher(Channels.Lane memory l, uint64 seq, uint128 total) internal pure returns (Voucher memory) {
        return Voucher(l, seq, total, linesHash(lines(1, total)), SESSION);
    }

    function listOf(Voucher memory v) internal pure returns (Voucher[] memory list) {
        list = new Voucher[](1);
        list[0] = v;
    }

    function listOf(Voucher memory v, Voucher memory w) internal pure returns (Voucher[] memory list) {
        list = new Voucher[](2);
        (list[0], list[1]) = (v, w);
    }

    /// @dev Signed by the session keys, and by the clerk with `clerkKey`.
    function batchOf(Voucher[] memory vouchers, uint256 clerkKey) internal view returns (Batch memory b) {
        uint256 n = vouchers.length;
        (b.lanes, b.seqs, b.totals) = (new Channels.Lane[](n), new uint64[](n), new uint128[](n));
        (b.lines, b.rs, b.vss) = (new bytes32[](n), new bytes32[](n), new bytes32[](n));
        bytes32[] memory list = new bytes32[](n);
        for (uint256 i = 0; i < n; ++i) {
            Voucher memory v = vouchers[i];
            list[i] = structHash(v);
            (b.lanes[i], b.seqs[i], b.totals[i], b.lines[i]) = (v.lane, v.seq, v.total, v.lines);
            (b.rs[i], b.vss[i]) = compact(v.session, digestOf(list[i]));
        }
        (b.clerkR, b.clerkVs) = compact(clerkKey, digestOf(listHash(list)));
    }

    function sends(Batch memory b) internal {
        channels.redeemMany(b.lanes, b.seqs, b.totals, b.lines, b.rs, b.vss, b.clerkR, b.clerkVs);
    }

    function redeems(Voucher memory v) internal {
        sends(batchOf(listOf(v), keys[0]));
    }

    /// @dev A customer pays so much that `net` reaches the settlement, and the next draft's fees grow by it.
    function earns(uint128 net) internal {
        uint128 gross = net;
        while (gross - (uint256(gross) * SHARE_BPS + 9_999) / 10_000 < net) {
            ++gross;
        }
        funds(CUSTOMER, gross);
        redeems(voucher(lane(gross), 1, gross));
        feesGrowth += net;
    }

    /// @dev What the clerk with `clerkKey` countersigned alone.
    function countersigned(Channels.Lane memory l, uint64 seq, Channels.Line[] memory all, uint256 clerkKey)
        internal
        view
        returns (Channels.Countersigned memory c)
    {
        (c.seq, c.lines) = (seq, all);
        for (uint256 i = 0; i < all.length; ++i) {
            c.total += all[i].money;
        }
        signs(l, c, clerkKey);
    }

    /// @dev Lets the clerk sign what `c` says now.
    function signs(Channels.Lane memory l, Channels.Countersigned memory c, uint256 clerkKey) internal view {
        c.list = new bytes32[](1);
        c.list[0] = structHash(Voucher(l, c.seq, c.total, linesHash(c.lines), 0));
        (c.r, c.vs) = compact(clerkKey, digestOf(listHash(c.list)));
    }
}
