// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Challenges} from "../src/Challenges.sol";
import {Channels} from "../src/Channels.sol";
import {Minter} from "../src/Minter.sol";
import {Settlement} from "../src/Settlement.sol";
import {Stake} from "../src/Stake.sol";
import {Token} from "../src/Token.sol";
import {Test} from "./Vm.sol";
import {Disputes} from "./support/Disputes.sol";
import {Shop} from "./support/Shop.sol";
import {Leaf, Tree} from "./support/Tree.sol";

/// @dev Does one sensible or hostile step at a time, whatever the fuzzer asks for. The first verifier is honest: it signs only results
/// without the lie. The other two may lie in round 0; in round 1, with everyone looking, all three tell the truth. Newcomers contradict
/// themselves.
contract Handler is Disputes {
    using Tree for Leaf[];

    uint256 internal constant ACCOUNTS = 6;
    bytes32 internal constant LIE = keccak256("lie");

    Settlement.EpochRoot internal proposed;
    Leaf[] internal finalLeaves;
    Leaf[] internal proposedLeaves;

    uint256 public constant GENESIS_TOKENS = GENESIS_SUPPLY;

    uint256 internal lastKey = 0x10000;
    uint256[3] internal newcomerKeys;
    address[] internal everStaked;
    address[] internal everSigned;

    /// @dev Disputes by their (first, attempt), and what was put into their bonds, given back, burned.
    bytes32[] internal disputed;
    uint32[2][] internal disputedAt;
    uint256 public bondsTaken;
    uint256 public bondsReturned;
    uint256 public bondsBurned;

    /// @dev All that was burned of the supply.
    uint256 public burned;

    /// @dev Lies that were struck or replaced, and what can be made of the votes for them.
    Settlement.EpochRoot[] internal lies;
    uint32[] internal lieAttempts;
    bytes32 internal honestVote;
    uint32 internal honestFirst;
    uint32 internal honestAttempt;

    mapping(uint256 epoch => bool) internal isFinal;
    bool public finalTwice;
    bool public finalInsideWindow;
    bool public takenFell;
    bool public budgetLost;
    bool public framed;
    uint256 public finalised;
    uint256 public claimed;
    uint256 public takenOver;
    uint256[6] public endings;
    uint256 public slashed;
    uint256 public forfeited;

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

    function parts() external view returns (Token, Minter, Stake, Settlement, Challenges) {
        return (token, minter, stake, settlement, challenges);
    }

    function stakers() external view returns (address[] memory) {
        return everStaked;
    }

    function signers() external view returns (address[] memory) {
        return everSigned;
    }

    function disputesEver() external view returns (bytes32[] memory) {
        return disputed;
    }

    function honestHeld() external view returns (uint256) {
        return stake.heldOf(vm.addr(keys[0]));
    }

    /// @dev Notes what a step burns of the supply.
    modifier counting() {
        uint256 supply = token.totalSupply();
        _;
        if (supply > token.totalSupply()) burned += supply - token.totalSupply();
    }

    function waits(uint256 secs) external {
        vm.warp(block.timestamp + bound(secs, 1, 2 * EPOCH));
    }

    function openRange(uint256 length) external {
        Settlement.Phase phase = settlement.phase();
        if (phase > Settlement.Phase.OPEN && phase < Settlement.Phase.REJECTED) return;
        if (block.timestamp < readyAt(next()) || lead() == address(0)) return;
        (,, uint32 last,,) = settlement.opened();
        if (phase == Settlement.Phase.OPEN && last == settlement.currentAttempt()) return;
        uint256 over = (block.timestamp - readyAt(next())) / EPOCH;
        opens(next() + uint32(bound(length, 0, over < 31 ? over : 31)));
        if (phase == Settlement.Phase.OPEN) ++takenOver;
    }

    /// @dev In round 0 the truth or a lie, as the seed says; in round 1 the truth.
    function proposeRange(uint256 seed) external {
        Settlement.Phase phase = settlement.phase();
        if (phase == Settlement.Phase.CHALLENGED) return reconfirms();
        if (phase != Settlement.Phase.OPEN) return;
        delete proposedLeaves;
        uint256 left = minter.budget(next(), lastOpened());
        uint256 growth = 0;
        bool lying = seed % 2 == 0;
        for (uint256 i = 0; i < ACCOUNTS; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint256 earned = seed % 3 == 0 ? 0 : bound(seed, 0, left);
            left -= earned;
            growth += earned;
            proposedLeaves.push(Leaf(finalLeaves[i].account, finalLeaves[i].rewards + earned, 0));
        }
        Leaf[] memory tree = proposedLeaves;
        Settlement.EpochRoot memory r = draft(tree.sort().root(), growth);
        if (lying) r.stateRoot = LIE;
        sealsPass();
        votes(r, lying);
    }

    function votes(Settlement.EpochRoot memory r, bool lying) internal {
        (bytes32[] memory rs, bytes32[] memory vss) = signed(digest(r), voters(lying));
        try settlement.propose(r, rs, vss) {
            proposed = r;
            (honestFirst, honestAttempt) = (r.first, attempt());
            if (!lying) honestVote = settlement.resultOf(r);
        } catch {}
    }

    /// @dev Everyone who weighs in the vote; but the honest one has no part in a lie.
    function voters(bool lying) internal view returns (uint256[] memory by) {
        (,,, uint32 weightEpoch,) = settlement.opened();
        by = new uint256[](6);
        uint256 n = 0;
        for (uint256 i = lying ? 1 : 0; i < 6; ++i) {
            uint256 key = i < 3 ? keys[i] : newcomerKeys[i - 3];
            if (key != 0 && stake.weightOf(vm.addr(key), weightEpoch) != 0) by[n++] = key;
        }
        assembly ("memory-safe") {
            mstore(by, n)
        }
    }

    function reconfirms() internal {
        if (block.timestamp >= runsUntil()) return;
        Settlement.EpochRoot memory r = proposed;
        if (r.stateRoot == LIE) {
            lies.push(r);
            lieAttempts.push(attempt());
            r.stateRoot = keccak256(abi.encode("state", r.last));
        }
        votes(r, false);
    }

    function lastOpened() internal view returns (uint32 last) {
        (, last,,,) = settlement.opened();
    }

    function finalizeRange() external {
        bool inside = block.timestamp < runsUntil();
        try settlement.finalize(proposed) {
            finalInsideWindow = finalInsideWindow || inside;
            finalLeaves = proposedLeaves;
            for (uint256 epoch = proposed.first; epoch <= proposed.last; ++epoch) {
                finalTwice = finalTwice || isFinal[epoch];
                isFinal[epoch] = true;
            }
            ++finalised;
        } catch {}
    }

    function challengeStep(uint256 how) external counting {
        (uint32 first, uint32 a) = (next(), attempt());
        bytes32 key = challenges.keyOf(first, a);
        uint256 bond = challenges.bondNow();
        arms(DOUBTER, bond + DATA_FEE);
        vm.startPrank(how % 5 == 0 ? GUARDIAN : DOUBTER);
        if (how % 3 == 0) {
            try challenges.challengeData(first, a, "file") {} catch {}
        }
        try challenges.challenge(first, a, "") {
            disputed.push(key);
            disputedAt.push([first, a]);
            if (how % 5 != 0) bondsTaken += bond;
        } catch {}
        vm.stopPrank();
    }

    function escalateStep() external {
        arms(ESCALATOR, 4 * uint256(CHALLENGE_BOND));
        (uint32 first, uint32 a) = (next(), attempt());
        vm.prank(ESCALATOR);
        try challenges.escalate(first, a) {
            bondsTaken += 4 * uint256(CHALLENGE_BOND);
        } catch {}
    }

    /// @dev A vote that strikes the truth would slash the honest, so this authority strikes and does not slash.
    function strikeStep(bool asStranger) external {
        (uint32 first, uint32 a) = (next(), attempt());
        vm.prank(asStranger ? address(0xBAD) : AUTHORITY);
        try challenges.strike(first, a, 0) {
            framed = framed || asStranger;
        } catch {}
    }

    function rejectStep() external {
        uint32 last = lastOpened();
        uint256 budget = minter.budget(next(), last);
        try settlement.reject() {
            budgetLost = budgetLost || minter.budget(next(), last) != budget;
        } catch {}
    }

    function settleBondsStep(uint256 which) external counting {
        if (disputed.length == 0) return;
        uint256 i = which % disputed.length;
        uint256 supply = token.totalSupply();
        uint256 had = token.balanceOf(DOUBTER) + token.balanceOf(ESCALATOR);
        try challenges.settleBonds(disputedAt[i][0], disputedAt[i][1]) {
            bondsBurned += supply - token.totalSupply();
            bondsReturned += token.balanceOf(DOUBTER) + token.balanceOf(ESCALATOR) - had;
            (,,,, Challenges.Outcome outcome,) = challenges.disputes(disputed[i]);
            ++endings[uint256(outcome)];
        } catch {}
    }

    /// @dev Liars pay for a lie that was replaced.
    function slashLiars(uint256 which) external counting {
        if (lies.length == 0) return;
        Settlement.EpochRoot memory lie = lies[which % lies.length];
        uint32 a = lieAttempts[which % lies.length];
        uint256[] memory by = new uint256[](2);
        (by[0], by[1]) = (keys[1], keys[2]);
        bytes32 result = settlement.resultOf(lie);
        (bytes32[] memory rs, bytes32[] memory vss) = signed(settlement.digestOf(lie.first, a, 0, result), by);
        try challenges.slashFaulty(lie.first, a, 0, result, rs, vss) {
            ++slashed;
        } catch {}
    }

    /// @dev Whatever else is made of the honest one's only vote takes nothing from it.
    function frameStep(uint256 seed) external counting {
        (bytes32 r, bytes32 vs) = voteOf(keys[0], honestFirst, honestAttempt, 0, honestVote);
        (bytes32 r2, bytes32 vs2) = voteOf(keys[seed % 2], honestFirst, honestAttempt + uint32(seed % 2), 1, LIE);
        try challenges.slashEquivocation(honestFirst, honestAttempt, 0, honestVote, r, vs, LIE, r2, vs2) {
            framed = true;
        } catch {}
        (bytes32[] memory rs, bytes32[] memory vss) = (new bytes32[](1), new bytes32[](1));
        (rs[0], vss[0]) = (r, vs);
        try challenges.slashFaulty(honestFirst, honestAttempt, 0, honestVote, rs, vss) {
            framed = true;
        } catch {}
    }

    function equivocateStep(uint256 seed) external counting {
        uint256 i = seed % 3;
        address owner = address(uint160(0x7000 + i));
        (uint128 held,,) = stake.verifiers(owner);
        if (held == 0) return;
        (bytes32 r, bytes32 vs) = voteOf(newcomerKeys[i], 0, 0, 0, RIGHT);
        (bytes32 r2, bytes32 vs2) = voteOf(newcomerKeys[i], 0, 0, 0, WRONG);
        challenges.slashEquivocation(0, 0, 0, RIGHT, r, vs, WRONG, r2, vs2);
        stake.burnForfeited();
        if (seed % 2 == 0) try stake.adjust(owner) {} catch {}
        ++forfeited;
    }

    function publishStep() external {
        try stake.publish() {} catch {}
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
            try stake.adjust(owner) {} catch {}
            joins(owner, ++lastKey, BOND);
            newcomerKeys[seed % 3] = lastKey;
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
        address owner = owners[1 + seed % 2];
        token.transfer(owner, 1e18);
        vm.startPrank(owner);
        token.approve(address(stake), 1e18);
        try stake.add(1e18) {} catch {}
        try stake.heartbeat() {} catch {}
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

/// forge-config: default.invariant.runs = 16
contract InvariantsTest is Test {
    Handler internal handler;
    Token internal token;
    Minter internal minter;
    Stake internal stake;
    Settlement internal settlement;
    Challenges internal challenges;
    uint256 internal honestBond;

    function setUp() public {
        handler = new Handler();
        (token, minter, stake, settlement, challenges) = handler.parts();
        honestBond = handler.honestHeld();
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
        uint256 minted = token.totalSupply() + handler.burned() - handler.GENESIS_TOKENS();
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
        vm.assertFalse(handler.finalTwice());
    }

    function invariant_honestStakeIsNeverSlashed() public view {
        vm.assertFalse(handler.framed());
        vm.assertEq(handler.honestHeld(), honestBond);
    }

    function invariant_rejectionLosesNoBudget() public view {
        vm.assertFalse(handler.budgetLost());
    }

    function invariant_bondsInAreBondsOut() public view {
        bytes32[] memory all = handler.disputesEver();
        uint256 open = 0;
        for (uint256 i = 0; i < all.length; ++i) {
            (, uint96 bond,, uint96 behind,,) = challenges.disputes(all[i]);
            open += bond + behind;
        }
        vm.assertEq(token.balanceOf(address(challenges)), open);
        vm.assertEq(handler.bondsTaken(), handler.bondsReturned() + handler.bondsBurned() + open);
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

    /// @dev The invariants are about something: a plain walk through the handler settles, takes over, pays, disputes and slashes.
    function test_handlerReachesEverything() public {
        handler.waits(26 hours);
        handler.openRange(0);
        handler.proposeRange(2); // a lie
        handler.challengeStep(1);
        handler.proposeRange(0); // the truth
        handler.waits(7 hours);
        handler.finalizeRange();
        handler.slashLiars(0);
        handler.waits(26 hours);
        handler.openRange(0);
        handler.proposeRange(1);
        handler.challengeStep(1);
        handler.waits(13 hours); // nobody judges again
        handler.rejectStep();
        handler.settleBondsStep(1);
        for (uint256 i = 0; i < 120; ++i) {
            handler.waits(9 hours);
            handler.openRange(i);
            if (i % 3 != 0) handler.proposeRange(i + 1);
            if (i % 4 < 2) handler.challengeStep(i);
            if (i % 8 < 5 && i % 3 != 0) handler.proposeRange(i);
            if (i % 8 < 2) handler.escalateStep();
            if (i % 16 == 1) handler.strikeStep(false);
            handler.strikeStep(true);
            handler.waits(i % 8 == 0 ? 8 days : 7 hours);
            handler.rejectStep();
            handler.finalizeRange();
            handler.claimOne(i);
            handler.stakeStep(i);
            handler.addStep(i);
            handler.settleBondsStep(i);
            handler.settleBondsStep(i / 2);
            handler.slashLiars(i);
            handler.frameStep(i);
            if (i % 7 == 0) handler.equivocateStep(i);
            if (i % 9 == 0) handler.publishStep();
            if (i % 5 == 0) handler.claimAll();
            invariant_bondsInAreBondsOut();
            invariant_honestStakeIsNeverSlashed();
        }
        vm.assertLe(5, handler.finalised());
        vm.assertLe(1, handler.takenOver(), "takenOver");
        vm.assertLe(3, handler.claimed());
        vm.assertLe(4, handler.signers().length);
        vm.assertLe(1, handler.slashed(), "slashed");
        vm.assertLe(1, handler.forfeited(), "forfeited");
        for (uint256 outcome = 1; outcome <= uint256(Challenges.Outcome.STRUCK); ++outcome) {
            vm.assertLe(1, handler.endings(outcome), vm.toString(outcome));
        }
        invariant_paidMintedScheduledCap();
        invariant_settlementHoldsWhatItOwes();
        invariant_stakeHoldsAllStakes();
        invariant_takenSumsToPaid();
        invariant_totalWeightIsSum();
        invariant_noFinalInsideWindow();
        invariant_rejectionLosesNoBudget();
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
            vm.assertLe(fees, channels.redeemed(address(settlement)));
            uint256 owed = channels.redeemed(address(settlement)) - paidFees;
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
