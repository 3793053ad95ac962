// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Assets} from "../../src/Assets.sol";
import {Challenges} from "../../src/Challenges.sol";
import {Channels} from "../../src/Channels.sol";
import {Minter} from "../../src/Minter.sol";
import {Settlement} from "../../src/Settlement.sol";
import {IChallenges} from "../../src/interfaces/IChallenges.sol";
import {IRevenue} from "../../src/interfaces/IRevenue.sol";
import {Stake} from "../../src/Stake.sol";
import {Token} from "../../src/Token.sol";
import {Test} from "../Vm.sol";
import {Coin} from "./Coin.sol";
import {Leaf, Tree} from "./Tree.sol";

/// @dev A whole network before genesis, with three verifiers of equal stake, and the steps that lead from Books to a final root.
abstract contract Network is Test {
    using Tree for Leaf[];

    uint64 internal constant GENESIS = 1_700_000_000;
    uint32 internal constant EPOCH = 1 days;
    uint32 internal constant GRACE = 1 hours;
    uint32 internal constant SEAL = 30 minutes;
    uint32 internal constant ATTEMPT = 2 hours;
    uint32 internal constant CHALLENGE = 6 hours;
    uint32 internal constant RECONFIRM = 12 hours;
    uint32 internal constant GOVERNANCE = 7 days;
    uint32 internal constant PERIOD = 10;
    uint128 internal constant BUDGET = 1_000e18;
    uint128 internal constant LATER_BUDGET = 500e18;
    uint128 internal constant BURST = 3_000e18;
    uint128 internal constant REFILL = 11_574_074_074_074_075; // a little over BUDGET / EPOCH
    uint256 internal constant CAP = 1_000_000e18;
    uint256 internal constant GENESIS_SUPPLY = 400_000e18;
    uint128 internal constant BOND = 100e18;
    bytes32 internal constant STATE = keccak256("state");
    bytes32 internal constant POLICY = keccak256("policy");
    address internal constant AUTHORITY = address(0xA0);
    address internal constant GUARDIAN = address(0x6A);
    address internal constant TREASURY = address(0x7E);
    uint64 internal constant REPLACE = 30 days;
    uint128 internal constant CHALLENGE_BOND = 50e18;
    uint128 internal constant DATA_FEE = 5e18;
    uint64 internal constant CLOSE_DELAY = 2 days + 1;
    uint64 internal constant UNBONDING = 14 days;
    uint16 internal constant SHARE_BPS = 500;

    Token internal token;
    Coin internal coin;
    Minter internal minter;
    Stake internal stake;
    Settlement internal settlement;
    Channels internal channels;
    Challenges internal challenges;
    Assets internal assets;

    /// @dev How far the next draft's fees grow.
    uint128 internal feesGrowth;

    address[3] internal owners = [address(0x1001), address(0x1002), address(0x1003)];
    uint256[3] internal keys = [uint256(0xa11), 0xb22, 0xc33];

    function setUp() public virtual {
        vm.warp(GENESIS - 2 days);
        vm.roll(100);
        deploy();
        for (uint256 i = 0; i < 3; ++i) {
            joins(owners[i], keys[i], BOND);
        }
    }

    function deploy() internal {
        uint256 nonce = vm.getNonce(address(this));
        address minterAt = vm.computeCreateAddress(address(this), nonce + 2);
        address settlementAt = vm.computeCreateAddress(address(this), nonce + 4);
        address channelsAt = vm.computeCreateAddress(address(this), nonce + 6);
        address challengesAt = vm.computeCreateAddress(address(this), nonce + 7);
        address[] memory holders = new address[](1);
        uint256[] memory amounts = new uint256[](1);
        holders[0] = address(this);
        amounts[0] = GENESIS_SUPPLY;
        token = new Token("Subak", "SBK", CAP, minterAt, holders, amounts);
        coin = new Coin();
        (bytes32[] memory pools, uint16[] memory weightsBps) = onePool();
        minter = new Minter(
            token, settlementAt, authority(), guardian(), REPLACE, schedule(), Minter.Breaker(BURST, REFILL), pools, weightsBps
        );
        stake = new Stake(token, GENESIS, EPOCH, BOND, UNBONDING, channelsAt, challengesAt, authority(), REPLACE);
        settlement = new Settlement(parties(channelsAt, challengesAt), clock(), STATE, POLICY);
        assets = new Assets("Subak Assets", "ASSET", GENESIS, address(this));
        channels = new Channels(config());
        challenges = new Challenges(
            Challenges.Config(settlement, token, stake, authority(), guardian(), CHALLENGE_BOND, DATA_FEE)
        );
    }

    /// @dev Whoever votes: one address, unless a test says otherwise.
    function authority() internal view virtual returns (address) {
        return AUTHORITY;
    }

    function guardian() internal view virtual returns (address) {
        return GUARDIAN;
    }

    function parties(address channelsAt, address challengesAt) internal view returns (Settlement.Parties memory) {
        return Settlement.Parties({
            token: token,
            payment: payment(),
            budget: minter,
            weights: stake,
            revenue: IRevenue(channelsAt),
            authority: authority(),
            challenges: IChallenges(challengesAt),
            predecessor: Settlement(address(0))
        });
    }

    /// @dev What customers pay in: a stablecoin, unless a test says otherwise.
    function payment() internal view virtual returns (IERC20) {
        return coin;
    }

    /// @dev A stake of three token units stands behind a payment unit.
    function config() internal view returns (Channels.Config memory) {
        return Channels.Config({
            payment: payment(),
            token: token,
            settlement: address(settlement),
            bonds: stake,
            assets: assets,
            authority: authority(),
            treasury: treasury(),
            genesis: GENESIS,
            epochSeconds: EPOCH,
            closeDelaySeconds: CLOSE_DELAY,
            replaceSeconds: REPLACE,
            shareBps: SHARE_BPS,
            stakeUnits: 3,
            paymentUnits: 1
        });
    }

    function treasury() internal view virtual returns (address) {
        return TREASURY;
    }

    function schedule() internal pure returns (Minter.Schedule memory) {
        uint128[] memory budgets = new uint128[](2);
        budgets[0] = BUDGET;
        budgets[1] = LATER_BUDGET;
        return Minter.Schedule(GENESIS, EPOCH, PERIOD, budgets);
    }

    function clock() internal pure returns (Settlement.Clock memory) {
        return Settlement.Clock(GENESIS, EPOCH, GRACE, SEAL, ATTEMPT, CHALLENGE, RECONFIRM, GOVERNANCE);
    }

    function onePool() internal pure returns (bytes32[] memory pools, uint16[] memory weightsBps) {
        pools = new bytes32[](1);
        weightsBps = new uint16[](1);
        pools[0] = "bootstrap";
        weightsBps[0] = 10_000;
    }

    function joins(address owner, uint256 key, uint256 amount) internal {
        token.transfer(owner, amount);
        vm.startPrank(owner);
        token.approve(address(stake), amount);
        stake.join(vm.addr(key), amount);
        vm.stopPrank();
    }

    /// @dev When `epoch` can be opened.
    function readyAt(uint256 epoch) internal pure returns (uint256) {
        return GENESIS + (epoch + 1) * EPOCH + GRACE;
    }

    function next() internal view returns (uint32 epoch) {
        (,,,, epoch) = settlement.finals();
    }

    function books(uint32 first, uint32 last) internal pure returns (bytes32[] memory hashes) {
        hashes = new bytes32[](last - first + 1);
        for (uint32 i = 0; i < hashes.length; ++i) {
            hashes[i] = keccak256(abi.encode("book", first + i));
        }
    }

    function lead() internal view returns (address) {
        return stake.leadOf(uint256(next()) + settlement.currentAttempt());
    }

    /// @dev Waits until `last` can be opened, if it cannot yet, and opens up to it as whoever's turn it is; at a turn's end the next one's.
    function opens(uint32 last) internal {
        if (block.timestamp < readyAt(last)) vm.warp(readyAt(last));
        uint256 time = block.timestamp;
        uint32 turn = settlement.currentAttempt();
        vm.warp(time + SEAL);
        if (settlement.currentAttempt() == turn) vm.warp(time);
        uint32 first = next();
        uint32 attempt = settlement.currentAttempt();
        address opener = lead();
        vm.prank(opener);
        settlement.open(first, last, attempt, books(first, last), uint64(block.number - 1));
    }

    /// @dev What the verifiers would sign for the opened range, if the rewards grow by `growth`.
    function draft(bytes32 root, uint256 growth) internal view returns (Settlement.EpochRoot memory r) {
        uint128 rewards;
        (r.prevRoot, r.prevStateRoot, rewards, r.fees,) = settlement.finals();
        r.fees += feesGrowth;
        (r.first, r.last,,,) = settlement.opened();
        r.root = root;
        r.stateRoot = keccak256(abi.encode("state", r.last));
        r.assetRoot = keccak256(abi.encode("assets", r.last));
        r.verdictsHash = keccak256(abi.encode("verdicts", r.last));
        r.rewards = uint128(rewards + growth);
        r.bookHashes = books(r.first, r.last);
        r.policyHashes = new bytes32[](r.bookHashes.length);
        for (uint32 i = 0; i < r.policyHashes.length; ++i) {
            r.policyHashes[i] = settlement.policyAt(r.first + i);
        }
    }

    /// @dev What verifiers sign in the running attempt and round.
    function digest(Settlement.EpochRoot memory r) internal view returns (bytes32) {
        (uint32 attempt, uint32 round,,,) = settlement.pending();
        return settlement.digestOf(r.first, attempt, round, settlement.resultOf(r));
    }

    /// @dev Waits until the opened Books can be proposed.
    function sealsPass() internal {
        (,, uint64 deadline,,) = settlement.pending();
        if (settlement.phase() == Settlement.Phase.OPEN && block.timestamp < deadline) vm.warp(deadline);
    }

    function signed(bytes32 digest_, uint256[] memory by) internal pure returns (bytes32[] memory rs, bytes32[] memory vss) {
        rs = new bytes32[](by.length);
        vss = new bytes32[](by.length);
        for (uint256 i = 1; i < by.length; ++i) {
            for (uint256 j = i; j > 0 && vm.addr(by[j - 1]) > vm.addr(by[j]); --j) {
                (by[j - 1], by[j]) = (by[j], by[j - 1]);
            }
        }
        for (uint256 i = 0; i < by.length; ++i) {
            (rs[i], vss[i]) = compact(by[i], digest_);
        }
    }

    function compact(uint256 key, bytes32 digest_) internal pure returns (bytes32, bytes32) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest_);
        return (r, bytes32(uint256(s) | (uint256(v - 27) << 255)));
    }

    function keysOf(uint256 n) internal view returns (uint256[] memory by) {
        by = new uint256[](n);
        for (uint256 i = 0; i < n; ++i) {
            by[i] = keys[i];
        }
    }

    function proposes(Settlement.EpochRoot memory r, uint256 signers) internal {
        (bytes32[] memory rs, bytes32[] memory vss) = signed(digest(r), keysOf(signers));
        sealsPass();
        settlement.propose(r, rs, vss);
    }

    /// @dev The running deadline: of the seals, a window or a round.
    function runsUntil() internal view returns (uint64 deadline) {
        (,, deadline,,) = settlement.pending();
    }

    function finalizes(Settlement.EpochRoot memory r) internal {
        vm.warp(runsUntil());
        settlement.finalize(r);
        feesGrowth = 0;
    }

    /// @dev From nothing to final: the next epochs up to `last` with this payout root.
    function settles(uint32 last, bytes32 root, uint256 growth) internal {
        opens(last);
        Settlement.EpochRoot memory r = draft(root, growth);
        proposes(r, 3);
        finalizes(r);
    }

    /// @dev Sorts the leaves and makes them final with the next epoch.
    function pays(Leaf[] memory leaves, uint256 growth) internal returns (Leaf[] memory sorted) {
        sorted = leaves.sort();
        settles(next(), sorted.root(), growth);
    }

    function claims(Leaf[] memory sorted, uint256 i) internal {
        settlement.claimRewards(sorted[i].account, sorted[i].rewards, sorted[i].fees, sorted.proof(i));
    }
}
