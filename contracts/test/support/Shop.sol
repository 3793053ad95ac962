// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Channels} from "../../src/Channels.sol";
import {Settlement} from "../../src/Settlement.sol";
import {Stake} from "../../src/Stake.sol";
import {Token} from "../../src/Token.sol";
import {Market} from "./Market.sol";
import {Leaf, Tree} from "./Tree.sol";

/// @dev Customers, clerks that come, go and contradict themselves, and hosts that are paid: one sensible or hostile step at a time,
/// whatever the fuzzer asks for, and what must have come of it.
contract Shop is Market {
    using Tree for Leaf[];

    address internal constant HOST = address(0x4057);
    uint256 public constant CUSTOMERS = 3;
    uint256 public constant CLERKS = 3;
    uint256 public constant GENESIS_TOKENS = GENESIS_SUPPLY;
    uint256 internal constant MOST_LANES = 24;

    bool internal immutable OWN_TOKEN;

    Channels.Lane[] internal opened;
    uint256[] internal clerkOf;
    uint256[] internal behind;
    uint256[] internal clerkKeyOf;
    uint256[CLERKS] internal clerkKeys;
    uint256 internal lastKey = 0x10000;
    uint256 internal asset;
    Leaf[] internal leaves;
    uint64 internal seq;

    /// @dev Per customer: paid in less taken out.
    uint256[CUSTOMERS] public netDeposits;
    uint256 public burned;
    bool public clerkOverbooked;
    bool public hostileDone;
    bool public fell;
    uint256 public redemptions;
    uint256 public slashings;
    uint256 public compensations;
    uint256 public closings;
    uint256 public settlements;

    constructor(bool ownToken) {
        OWN_TOKEN = ownToken;
        setUp();
        asset = uint256(assets.registerSite(HOST, "site", 0));
        // The three verifiers stay and outweigh the clerks, so that there is always a quorum.
        for (uint256 i = 0; i < 3; ++i) {
            token.transfer(owners[i], 10 * BOND);
            vm.startPrank(owners[i]);
            token.approve(address(stake), 10 * BOND);
            stake.add(10 * BOND);
            vm.stopPrank();
        }
        for (uint256 i = 0; i < CLERKS; ++i) {
            joinsAnew(i);
        }
        vm.warp(GENESIS);
    }

    function payment() internal view override returns (IERC20) {
        return OWN_TOKEN ? IERC20(token) : IERC20(address(coin));
    }

    function parts() external view returns (Channels, Settlement, Stake, Token, IERC20) {
        return (channels, settlement, stake, token, payment());
    }

    function lanes() external view returns (Channels.Lane[] memory) {
        return opened;
    }

    function customer(uint256 i) public pure returns (address) {
        return address(uint160(0xC000 + i % CUSTOMERS));
    }

    function clerkOwner(uint256 i) public pure returns (address) {
        return address(uint160(0x7000 + i % CLERKS));
    }

    /// @dev What must stand behind the lanes of a clerk's owner that are not closed.
    function behindLanes(uint256 i) external view returns (uint256 sum) {
        for (uint256 j = 0; j < opened.length; ++j) {
            (,,, bool closed) = channels.laneState(idOf(opened[j]));
            if (clerkOf[j] == i && !closed) sum += behind[j];
        }
    }

    function behindLane(uint256 j) external view returns (uint256) {
        return behind[j];
    }

    function joinsAnew(uint256 i) internal {
        clerkKeys[i] = ++lastKey;
        joins(clerkOwner(i), lastKey, 2 * BOND);
    }

    /// @dev Notes what a step burns of the supply.
    modifier counting() {
        uint256 supply = token.totalSupply();
        _;
        if (supply > token.totalSupply()) burned += supply - token.totalSupply();
    }

    function waits(uint256 secs) external {
        vm.warp(block.timestamp + bound(secs, 1, EPOCH));
    }

    function depositStep(uint256 who, uint256 amount) external {
        amount = bound(amount, 0, 1e18);
        netDeposits[who % CUSTOMERS] += amount;
        funds(customer(who), uint128(amount));
    }

    function withdrawStep(uint256 who, uint256 amount) external {
        amount = bound(amount, 0, free(customer(who)));
        netDeposits[who % CUSTOMERS] -= amount;
        vm.prank(customer(who));
        channels.withdraw(uint128(amount));
    }

    function openStep(uint256 who, uint256 which, uint256 limit, uint256 life) external {
        uint256 most = free(customer(who));
        if (most == 0 || opened.length == MOST_LANES) return;
        which %= CLERKS;
        (, uint64 number) = channels.channel(customer(who));
        Channels.Lane memory l = Channels.Lane(
            customer(who),
            vm.addr(SESSION),
            vm.addr(clerkKeys[which]),
            uint128(bound(limit, 1, most)),
            uint40(block.timestamp + bound(life, 1, 8 days)),
            number
        );
        uint256 before = channels.locked(clerkOwner(which));
        vm.prank(l.customer);
        try channels.openLane(l.key, l.clerk, l.limit, l.expiry) {
            opened.push(l);
            clerkOf.push(which);
            clerkKeyOf.push(clerkKeys[which]);
            uint256 locked = channels.locked(clerkOwner(which));
            behind.push(locked - before);
            clerkOverbooked = clerkOverbooked || locked > stake.stakeOf(l.clerk);
        } catch {}
    }

    function revokeStep(uint256 which) external {
        if (opened.length == 0) return;
        Channels.Lane memory l = opened[which % opened.length];
        vm.prank(l.customer);
        try channels.revokeLane(l) {} catch {}
    }

    function closeStep(uint256 which) external {
        if (opened.length == 0) return;
        try channels.closeLane(opened[which % opened.length]) {
            ++closings;
        } catch {}
    }

    function redeemStep(uint256 which, uint256 total) external counting {
        if (opened.length == 0) return;
        uint256 i = which % opened.length;
        uint128 before = spent(opened[i]);
        Voucher memory v = voucher(opened[i], ++seq, uint128(bound(total, 0, opened[i].limit)));
        sends(batchOf(listOf(v, v), clerkKeyOf[i]));
        uint128 after_ = spent(opened[i]);
        fell = fell || after_ < before;
        if (after_ == before) return;
        netDeposits[uint160(opened[i].customer) - 0xC000] -= after_ - before;
        ++redemptions;
    }

    /// @dev Above the limit, signed by another, or countersigned by another: none of it moves a unit.
    function hostileRedeem(uint256 which, uint256 how) external {
        if (opened.length == 0) return;
        uint256 i = which % opened.length;
        Voucher memory v = voucher(opened[i], ++seq, opened[i].limit);
        if (how % 3 == 0) v.total += 1;
        if (how % 3 == 1) v.session = 0xbad;
        Batch memory b = batchOf(listOf(v), how % 3 == 2 ? 0xbad : clerkKeyOf[i]);
        uint256 before = payment().balanceOf(address(channels));
        try channels.redeemMany(b.lanes, b.seqs, b.totals, b.lines, b.rs, b.vss, b.clerkR, b.clerkVs) {} catch {}
        hostileDone = hostileDone || payment().balanceOf(address(channels)) != before;
    }

    function pairOf(uint256 i, uint256 money)
        internal
        view
        returns (Channels.Countersigned memory earlier, Channels.Countersigned memory later)
    {
        uint128 harm = uint128(bound(money, 1, opened[i].limit));
        earlier = countersigned(opened[i], 1, lines(asset, harm), clerkKeyOf[i]);
        later = countersigned(opened[i], 1, lines(asset + 1, harm), clerkKeyOf[i]);
    }

    function slashStep(uint256 which, uint256 money) external counting {
        if (opened.length == 0) return;
        uint256 i = which % opened.length;
        (Channels.Countersigned memory earlier, Channels.Countersigned memory later) = pairOf(i, money);
        try channels.slashClerk(opened[i], earlier, later, 0) {
            ++slashings;
        } catch {}
    }

    function compensateStep(uint256 which, uint256 money) external {
        if (opened.length == 0) return;
        uint256 i = which % opened.length;
        (Channels.Countersigned memory earlier, Channels.Countersigned memory later) = pairOf(i, money);
        try channels.compensate(opened[i], earlier, later, bytes32(asset)) {
            ++compensations;
        } catch {}
    }

    function burnRestStep(uint256 which) external counting {
        if (opened.length == 0) return;
        try channels.burnRest(opened[which % opened.length]) {} catch {}
    }

    function shareStep(uint256 bps) external {
        vm.prank(AUTHORITY);
        channels.setShare(uint16(bound(bps, 100, 10_000)));
    }

    function ratioStep(uint256 stakeUnits, uint256 paymentUnits) external {
        paymentUnits = bound(paymentUnits, 1, 7);
        (uint256 stakeBefore, uint256 paymentBefore) = channels.ratio();
        uint256 least = (stakeBefore * paymentUnits + 2 * paymentBefore - 1) / (2 * paymentBefore);
        uint256 most = 2 * stakeBefore * paymentUnits / paymentBefore;
        if (least > most || least > 200) return;
        vm.prank(AUTHORITY);
        channels.setRatio(uint128(bound(stakeUnits, least, most < 200 ? most : 200)), uint128(paymentUnits));
    }

    /// @dev A clerk leaves, takes its stake, or comes back with another signer.
    function clerkStep(uint256 which) external {
        address owner = clerkOwner(which);
        (uint128 held,, uint64 releaseAt) = stake.verifiers(owner);
        if (held == 0 && stake.weightOf(vm.addr(clerkKeys[which % CLERKS]), running()) == 0) {
            joinsAnew(which % CLERKS);
        } else if (held != 0 && releaseAt == 0) {
            vm.prank(owner);
            stake.exit();
        } else if (held != 0 && block.timestamp >= releaseAt) {
            vm.prank(owner);
            stake.withdraw();
        }
    }

    function running() internal view returns (uint32) {
        return uint32((block.timestamp - GENESIS) / EPOCH);
    }

    /// @dev The next epoch becomes final: HOST earns some of what was redeemed, and some new tokens.
    function settleStep(uint256 fees, uint256 rewards) external {
        (,,, uint128 had,) = settlement.finals();
        feesGrowth = uint128(bound(fees, 0, channels.redeemed(address(settlement)) - had));
        rewards = bound(rewards, 0, minter.budget(next(), next()));
        delete leaves;
        (,, uint128 minted,,) = settlement.finals();
        leaves.push(Leaf(HOST, minted + rewards, had + feesGrowth));
        settles(next(), leaves.root(), rewards);
        ++settlements;
    }

    function claimStep(bool ofFees) external {
        if (leaves.length == 0) return;
        Leaf memory leaf = leaves[0];
        bytes32[] memory path;
        if (ofFees) try settlement.claimFees(HOST, leaf.rewards, leaf.fees, path) {} catch {}
        else try settlement.claimRewards(HOST, leaf.rewards, leaf.fees, path) {} catch {}
    }
}
