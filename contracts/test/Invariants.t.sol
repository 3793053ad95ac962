// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Channels} from "../src/Channels.sol";
import {Minter} from "../src/Minter.sol";
import {Settlement} from "../src/Settlement.sol";
import {Stake} from "../src/Stake.sol";
import {Token} from "../src/Token.sol";
import {Test} from "./Vm.sol";
import {Network} from "./support/Network.sol";
import {Shop} from "./support/Shop.sol";
import {Leaf, Tree} from "./support/Tree.sol";

/// @dev Does one sensible or hostile step at a time, whatever the fuzzer asks for.
contract Handler is Network {
    using Tree for Leaf[];

    uint256 internal constant ACCOUNTS = 6;

    Settlement.EpochRoot internal proposed;
    Leaf[] internal finalLeaves;
    Leaf[] internal proposedLeaves;

    uint256 public constant GENESIS_TOKENS = GENESIS_SUPPLY;

    uint256 internal lastKey = 0x10000;
    address[] internal everStaked;
    address[] internal everSigned;

    bool public finalInsideWindow;
    bool public takenFell;
    uint256 public finalised;
    uint256 public claimed;
    uint256 public takenOver;

    constructor() {
        setUp();
        for (uint256 i = 0; i < ACCOUNTS; ++i) {
            finalLeaves.push(Leaf(address(uint160(0x9000 + i)), 0, 0));
        }
        for (uint256 i = 0; i < 3; ++i) {
            everStaked.push(owners[i]);
            everStaked.push(address(uint160(0x7000 + i)));
            everSigned.push(vm.addr(keys[i]));
        }
        vm.warp(GENESIS);
    }

    function accounts() external view returns (Leaf[] memory) {
        return finalLeaves;
    }

    function parts() external view returns (Token, Minter, Stake, Settlement) {
        return (token, minter, stake, settlement);
    }

    function stakers() external view returns (address[] memory) {
        return everStaked;
    }

    function signers() external view returns (address[] memory) {
        return everSigned;
    }

    function waits(uint256 secs) external {
        vm.warp(block.timestamp + bound(secs, 1, 2 * EPOCH));
    }

    function openRange(uint256 length) external {
        Settlement.Phase phase = settlement.phase();
        if (phase == Settlement.Phase.PENDING) return;
        if (block.timestamp < readyAt(next()) || lead() == address(0)) return;
        (,, uint32 attempt,,) = settlement.opened();
        if (phase == Settlement.Phase.OPEN && attempt == settlement.currentAttempt()) return;
        uint256 over = (block.timestamp - readyAt(next())) / EPOCH;
        opens(next() + uint32(bound(length, 0, over < 31 ? over : 31)));
        if (phase == Settlement.Phase.OPEN) ++takenOver;
    }

    function proposeRange(uint256 seed) external {
        if (settlement.phase() != Settlement.Phase.OPEN) return;
        delete proposedLeaves;
        uint256 left = minter.budget(next(), lastOpened());
        uint256 growth = 0;
        for (uint256 i = 0; i < ACCOUNTS; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint256 earned = seed % 3 == 0 ? 0 : bound(seed, 0, left);
            left -= earned;
            growth += earned;
            proposedLeaves.push(Leaf(finalLeaves[i].account, finalLeaves[i].rewards + earned, 0));
        }
        Leaf[] memory tree = proposedLeaves;
        Settlement.EpochRoot memory r = draft(tree.sort().root(), growth);
        (bytes32[] memory rs, bytes32[] memory vss) = signed(settlement.digestOf(r), keysOf(3));
        try settlement.propose(r, rs, vss) {
            proposed = r;
        } catch {}
    }

    function lastOpened() internal view returns (uint32 last) {
        (, last,,,) = settlement.opened();
    }

    function finalizeRange() external {
        (, uint64 deadline,) = settlement.pending();
        bool inside = block.timestamp < deadline;
        try settlement.finalize(proposed) {
            finalInsideWindow = finalInsideWindow || inside;
            finalLeaves = proposedLeaves;
            ++finalised;
        } catch {}
    }

    function claimOne(uint256 which) external {
        Leaf[] memory tree = finalLeaves;
        tree.sort();
        uint256 i = which % ACCOUNTS;
        (uint128 before,) = settlement.taken(tree[i].account);
        try settlement.claimRewards(tree[i].account, tree[i].rewards, 0, tree.proof(i)) {
            ++claimed;
        } catch {}
        (uint128 after_,) = settlement.taken(tree[i].account);
        takenFell = takenFell || after_ < before;
    }

    function claimAll() external {
        Leaf[] memory tree = finalLeaves;
        tree.sort();
        address[] memory who = new address[](ACCOUNTS);
        uint256[] memory rewards = new uint256[](ACCOUNTS);
        uint256[] memory all = new uint256[](ACCOUNTS);
        for (uint256 i = 0; i < ACCOUNTS; ++i) {
            (who[i], rewards[i], all[i]) = (tree[i].account, tree[i].rewards, i);
        }
        (bytes32[] memory path, bool[] memory flags) = tree.multiproof(all);
        try settlement.claimMany(who, rewards, new uint256[](ACCOUNTS), path, flags) {} catch {}
    }

    function stakeStep(uint256 seed) external {
        // The first three stay, so that there is always a quorum; newcomers come and go.
        address owner = address(uint160(0x7000 + seed % 3));
        (uint128 held,, uint64 releaseAt) = stake.verifiers(owner);
        if (held == 0) {
            joins(owner, ++lastKey, BOND);
            everSigned.push(vm.addr(lastKey));
        } else if (releaseAt == 0) {
            vm.prank(owner);
            stake.exit();
        } else if (block.timestamp >= releaseAt) {
            vm.prank(owner);
            stake.withdraw();
        }
    }

    function addStep(uint256 seed) external {
        address owner = owners[seed % 3];
        token.transfer(owner, 1e18);
        vm.startPrank(owner);
        token.approve(address(stake), 1e18);
        stake.add(1e18);
        stake.heartbeat();
        vm.stopPrank();
    }

    function hostile(uint256 seed) external {
        uint256 what = seed % 4;
        if (what == 0) try minter.mint(0, type(uint32).max, 1) {} catch {}
        if (what == 1) try token.mint(address(this), 1) {} catch {}
        if (what == 2) try stake.prune(owners[seed % 3]) {} catch {}
        if (what == 3) try settlement.claimRewards(address(this), seed, 0, new bytes32[](0)) {} catch {}
    }
}

contract InvariantsTest is Test {
    Handler internal handler;
    Token internal token;
    Minter internal minter;
    Stake internal stake;
    Settlement internal settlement;

    function setUp() public {
        handler = new Handler();
        (token, minter, stake, settlement) = handler.parts();
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    /// @dev What forge calls on the handler; its setUp is no step.
    function excludeSelectors() public view returns (FuzzSelector[] memory excluded) {
        excluded = new FuzzSelector[](1);
        excluded[0] = FuzzSelector(address(handler), new bytes4[](1));
        excluded[0].selectors[0] = handler.setUp.selector;
    }

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function invariant_paidMintedScheduledCap() public view {
        (uint128 paid,) = settlement.paid();
        (,, uint128 rewards,, uint32 next) = settlement.finals();
        uint256 minted = token.totalSupply() - handler.GENESIS_TOKENS();
        vm.assertLe(paid, minted);
        vm.assertEq(minted, rewards);
        vm.assertLe(minted, next == 0 ? 0 : minter.scheduled(0, next - 1));
        vm.assertLe(token.totalSupply(), token.CAP());
    }

    function invariant_settlementHoldsWhatItOwes() public view {
        (uint128 paid,) = settlement.paid();
        (,, uint128 rewards,,) = settlement.finals();
        vm.assertEq(token.balanceOf(address(settlement)), rewards - paid);
    }

    function invariant_stakeHoldsAllStakes() public view {
        address[] memory owners = handler.stakers();
        uint256 sum = 0;
        for (uint256 i = 0; i < owners.length; ++i) {
            (uint128 held,,) = stake.verifiers(owners[i]);
            sum += held;
        }
        vm.assertEq(token.balanceOf(address(stake)), sum);
    }

    function invariant_takenSumsToPaid() public view {
        vm.assertFalse(handler.takenFell());
        Leaf[] memory leaves = handler.accounts();
        uint256 sum = 0;
        for (uint256 i = 0; i < leaves.length; ++i) {
            (uint128 taken,) = settlement.taken(leaves[i].account);
            vm.assertEq(token.balanceOf(leaves[i].account), taken);
            vm.assertLe(taken, leaves[i].rewards);
            sum += taken;
        }
        (uint128 paid,) = settlement.paid();
        vm.assertEq(sum, paid);
    }

    function invariant_noFinalInsideWindow() public view {
        vm.assertFalse(handler.finalInsideWindow());
    }

    function invariant_totalWeightIsSum() public view {
        uint32 running = uint32((block.timestamp - stake.GENESIS()) / stake.EPOCH_SECONDS());
        address[] memory signers = handler.signers();
        uint256 sum = 0;
        for (uint256 i = 0; i < signers.length; ++i) {
            sum += stake.weightOf(signers[i], running);
        }
        vm.assertEq(sum, stake.totalWeight(running));
    }

    /// @dev The invariants are about something: a plain walk through the handler settles, takes over, pays and stakes.
    function test_handlerReachesEverything() public {
        for (uint256 i = 0; i < 40; ++i) {
            handler.waits(9 hours);
            handler.openRange(i);
            if (i % 3 != 0) handler.proposeRange(i + 1);
            handler.waits(7 hours);
            handler.finalizeRange();
            handler.claimOne(i);
            handler.stakeStep(i);
            handler.addStep(i);
            if (i % 5 == 0) handler.claimAll();
        }
        vm.assertLe(5, handler.finalised());
        vm.assertLe(1, handler.takenOver());
        vm.assertLe(3, handler.claimed());
        vm.assertLe(4, handler.signers().length);
        invariant_paidMintedScheduledCap();
        invariant_settlementHoldsWhatItOwes();
        invariant_stakeHoldsAllStakes();
        invariant_takenSumsToPaid();
        invariant_totalWeightIsSum();
    }
}

/// @dev Two markets: customers of one pay in a stablecoin, of the other in the network's own token.
contract MarketInvariantsTest is Test {
    Shop[2] internal shops;

    function setUp() public {
        shops = [new Shop(false), new Shop(true)];
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](2);
        (targets[0], targets[1]) = (address(shops[0]), address(shops[1]));
    }

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function excludeSelectors() public view returns (FuzzSelector[] memory excluded) {
        excluded = new FuzzSelector[](2);
        for (uint256 i = 0; i < 2; ++i) {
            excluded[i] = FuzzSelector(address(shops[i]), new bytes4[](1));
            excluded[i].selectors[0] = shops[i].setUp.selector;
        }
    }

    /// @dev Token units that are kept for harmed hosts.
    function kept(Shop shop, Channels channels) internal view returns (uint256 sum) {
        Channels.Lane[] memory lanes = shop.lanes();
        for (uint256 i = 0; i < lanes.length; ++i) {
            (uint128 taken, uint128 left,) = channels.slashes(channels.laneId(lanes[i]));
            vm.assertLe(taken, shop.behindLane(i));
            vm.assertLe(left, taken);
            sum += left;
        }
    }

    function invariant_channelsHoldWhatTheyOwe() public view {
        for (uint256 s = 0; s < 2; ++s) {
            (Channels channels,,, Token token, IERC20 payment) = shops[s].parts();
            Channels.Lane[] memory lanes = shops[s].lanes();
            uint256 deposits = 0;
            for (uint256 c = 0; c < shops[s].CUSTOMERS(); ++c) {
                (uint128 free,) = channels.channel(shops[s].customer(c));
                uint256 limits = 0;
                for (uint256 i = 0; i < lanes.length; ++i) {
                    if (lanes[i].customer != shops[s].customer(c)) continue;
                    (uint128 redeemed,,, bool closed) = channels.laneState(channels.laneId(lanes[i]));
                    vm.assertLe(redeemed, lanes[i].limit);
                    if (!closed) limits += lanes[i].limit - redeemed;
                }
                vm.assertLe(limits, shops[s].netDeposits(c), "live limits never exceed the deposit");
                vm.assertEq(free + limits, shops[s].netDeposits(c), "a unit is free or in one lane");
                deposits += shops[s].netDeposits(c);
            }
            uint256 forHosts = kept(shops[s], channels);
            bool one = address(payment) == address(token);
            vm.assertEq(payment.balanceOf(address(channels)), deposits + (one ? forHosts : 0));
            vm.assertEq(token.balanceOf(address(channels)), forHosts + (one ? deposits : 0));
        }
    }

    function invariant_feesAreReceivedBeforeTheyArePaid() public view {
        for (uint256 s = 0; s < 2; ++s) {
            (Channels channels, Settlement settlement,, Token token, IERC20 payment) = shops[s].parts();
            (,, uint128 rewards, uint128 fees,) = settlement.finals();
            (uint128 paidRewards, uint128 paidFees) = settlement.paid();
            vm.assertLe(paidFees, fees);
            vm.assertLe(fees, channels.redeemed());
            uint256 owed = channels.redeemed() - paidFees;
            if (address(payment) == address(token)) owed += rewards - paidRewards;
            vm.assertEq(payment.balanceOf(address(settlement)), owed);
        }
    }

    function invariant_supplyIsMintedLessBurned() public view {
        for (uint256 s = 0; s < 2; ++s) {
            (, Settlement settlement,, Token token,) = shops[s].parts();
            (,, uint128 rewards,,) = settlement.finals();
            (uint128 paid,) = settlement.paid();
            vm.assertLe(paid, rewards);
            vm.assertEq(token.totalSupply() + shops[s].burned(), shops[s].GENESIS_TOKENS() + rewards);
            vm.assertLe(token.totalSupply(), token.CAP());
        }
    }

    function invariant_clerksStandBehindTheirLanes() public view {
        for (uint256 s = 0; s < 2; ++s) {
            (Channels channels,,,,) = shops[s].parts();
            vm.assertFalse(shops[s].clerkOverbooked());
            vm.assertFalse(shops[s].hostileDone());
            vm.assertFalse(shops[s].fell());
            for (uint256 i = 0; i < shops[s].CLERKS(); ++i) {
                vm.assertEq(channels.locked(shops[s].clerkOwner(i)), shops[s].behindLanes(i));
            }
        }
    }

    function test_shopReachesEverything() public {
        for (uint256 s = 0; s < 2; ++s) {
            Shop shop = shops[s];
            for (uint256 i = 0; i < 24; ++i) {
                shop.depositStep(i, 1e12 * (i + 1));
                shop.openStep(i, i, 1e11 * (i + 1), 1 days);
                shop.redeemStep(i, 1e10 * (i + 1));
                shop.hostileRedeem(i, i);
                if (i % 3 == 0) shop.revokeStep(i);
                if (i % 4 == 0) shop.slashStep(i, 1e10);
                if (i % 4 == 0) shop.compensateStep(i, 1e10);
                if (i % 8 == 5) shop.clerkStep(i);
                shop.waits(20 hours);
                shop.closeStep(i - i / 2);
                if (i % 5 == 0) shop.shareStep(i * 100);
                if (i % 7 == 0) shop.ratioStep(i + 1, 3);
                shop.settleStep(1e9 * i, i);
                shop.claimStep(i % 2 == 0);
                shop.withdrawStep(i, 1e9);
                shop.burnRestStep(0);
                invariant_channelsHoldWhatTheyOwe();
            }
            vm.assertLe(5, shop.redemptions());
            vm.assertLe(2, shop.slashings());
            vm.assertLe(1, shop.compensations());
            vm.assertLe(2, shop.closings());
            vm.assertEq(shop.settlements(), 24);
            vm.assertLe(1, shop.burned());
        }
        invariant_feesAreReceivedBeforeTheyArePaid();
        invariant_supplyIsMintedLessBurned();
        invariant_clerksStandBehindTheirLanes();
    }
}
