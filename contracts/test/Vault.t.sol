// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {AllowList} from "../src/AllowList.sol";
import {Challenges} from "../src/Challenges.sol";
import {Settlement} from "../src/Settlement.sol";
import {Succession} from "../src/Succession.sol";
import {Vault} from "../src/Vault.sol";
import {IChallenges} from "../src/interfaces/IChallenges.sol";
import {IRevenue} from "../src/interfaces/IRevenue.sol";
import {Coin} from "./support/Coin.sol";
import {FeeCoin} from "./support/FeeCoin.sol";
import {Network} from "./support/Network.sol";
import {Leaf, Tree} from "./support/Tree.sol";

contract VaultTest is Network {
    using Tree for Leaf[];

    address internal constant CALLER = address(0x5E);

    Vault internal vault;
    AllowList internal allowed;

    /// @dev A vault whose settlement is CALLER.
    function setUp() public override {
        vm.warp(GENESIS);
        coin = new Coin();
        vault = made(coin, CALLER);
        coin.mint(address(vault), 10 * BUDGET);
    }

    function made(IERC20 held, address settlementAt) internal returns (Vault) {
        (bytes32[] memory pools, uint16[] memory bps) = onePool();
        return new Vault(held, settlementAt, AUTHORITY, GUARDIAN, REPLACE, planned(), pools, bps);
    }

    function planned() internal pure returns (Vault.Schedule memory) {
        uint128[] memory budgets = new uint128[](2);
        (budgets[0], budgets[1]) = (BUDGET, LATER_BUDGET);
        return Vault.Schedule(GENESIS, EPOCH, PERIOD, budgets);
    }

    function pays(uint32 first, uint32 last, uint256 amount) internal {
        vm.prank(CALLER);
        vault.mint(first, last, amount);
    }

    function split(uint16 a, uint16 b) internal pure returns (bytes32[] memory pools, uint16[] memory bps) {
        pools = new bytes32[](2);
        bps = new uint16[](2);
        (pools[0], pools[1], bps[0], bps[1]) = ("bootstrap", "verifiers", a, b);
    }

    function weighs(uint32 from, bytes32[] memory pools, uint16[] memory bps) internal {
        vm.prank(AUTHORITY);
        vault.setWeights(from, pools, bps);
    }

    function test_deploy_tells() public {
        (bytes32[] memory pools, uint16[] memory bps) = onePool();
        address where = vm.computeCreateAddress(address(this), vm.getNonce(address(this)));
        vm.expectEmit(where);
        emit Vault.ScheduleSet(GENESIS, EPOCH, PERIOD, planned().budgetPerEpoch);
        vm.expectEmit(where);
        emit Vault.WeightsSet(0, pools, bps);
        made(coin, CALLER);
    }

    function test_deploy_revertsOnAnEmptyClock() public {
        (bytes32[] memory pools, uint16[] memory bps) = onePool();
        Vault.Schedule memory never = planned();
        never.epochsPerPeriod = 0;
        vm.expectRevert(abi.encodeWithSelector(Vault.Vault_EmptyClock.selector, EPOCH, 0));
        new Vault(coin, CALLER, AUTHORITY, GUARDIAN, REPLACE, never, pools, bps);
    }

    function test_budget_followsTheSchedule() public view {
        vm.assertEq(vault.scheduled(0, 0), BUDGET);
        vm.assertEq(vault.scheduled(9, 10), BUDGET + LATER_BUDGET);
        vm.assertEq(vault.scheduled(19, 40), LATER_BUDGET);
        vm.assertEq(vault.scheduled(20, 20), 0);
        vm.assertEq(vault.scheduled(5, 4), 0);
        vm.assertEq(vault.budget(0, 8), 9 * BUDGET);
    }

    function test_budget_isNoMoreThanIsHere() public {
        vm.assertEq(vault.budget(0, 19), 10 * BUDGET);
        coin.mint(address(vault), 1);
        vm.assertEq(vault.budget(0, 19), 10 * BUDGET + 1);
    }

    function testFuzz_budget_addsUp(uint256 a, uint256 b, uint256 c) public view {
        a = bound(a, 0, 25);
        b = bound(b, a, 25);
        c = bound(c, b + 1, 30);
        vm.assertEq(
            vault.scheduled(uint32(a), uint32(c)),
            vault.scheduled(uint32(a), uint32(b)) + vault.scheduled(uint32(b + 1), uint32(c))
        );
    }

    function test_mint_paysAndCloses() public {
        vm.expectEmit(address(vault));
        emit Vault.PaidOut(0, 1, BUDGET);
        pays(0, 1, BUDGET);
        vm.assertEq(coin.balanceOf(CALLER), BUDGET);
        vm.assertEq(vault.paidOut(), BUDGET);
        vm.assertEq(vault.nextEpoch(), 2);
        vm.assertEq(vault.budget(1, 1), 0);
        vm.expectRevert(abi.encodeWithSelector(Vault.Vault_AlreadyPaid.selector, uint32(1), uint64(2)));
        pays(1, 1, 1);
        pays(2, 2, BUDGET);
        vm.assertEq(coin.balanceOf(CALLER), 2 * BUDGET);
    }

    function test_mint_nothingClosesNothing() public {
        pays(0, 3, 0);
        vm.assertEq(vault.nextEpoch(), 0);
        vm.expectRevert(abi.encodeWithSelector(Vault.Vault_RangeBackwards.selector, uint32(3), uint32(2)));
        pays(3, 2, 0);
    }

    function test_mint_revertsAboveTheSchedule() public {
        vm.expectRevert(abi.encodeWithSelector(Vault.Vault_AboveBudget.selector, BUDGET + 1, BUDGET));
        pays(0, 0, BUDGET + 1);
    }

    function test_mint_waitsUntilItIsFilled() public {
        vault = made(coin, CALLER);
        coin.mint(address(vault), 1);
        vm.expectRevert(abi.encodeWithSelector(Vault.Vault_AboveBudget.selector, BUDGET, 1));
        pays(0, 0, BUDGET);
        coin.mint(address(vault), BUDGET - 1);
        pays(0, 0, BUDGET);
        vm.assertEq(coin.balanceOf(address(vault)), 0);
    }

    function test_mint_onlyTheSettlement() public {
        address[3] memory others = [AUTHORITY, GUARDIAN, address(this)];
        for (uint256 i = 0; i < 3; ++i) {
            vm.expectRevert(abi.encodeWithSelector(Vault.Vault_NotSettlement.selector, others[i], CALLER));
            vm.prank(others[i]);
            vault.mint(0, 0, 0);
        }
    }

    function test_mint_revertsIfTheTokenDeliversLess() public {
        FeeCoin fee = new FeeCoin();
        vault = made(fee, CALLER);
        fee.mint(address(vault), BUDGET);
        vm.expectRevert(abi.encodeWithSelector(Vault.Vault_Delivered.selector, 99, 100));
        pays(0, 0, 100);
    }

    function test_pause_holdsUpAndNothingExpires() public {
        vm.expectRevert(abi.encodeWithSelector(Vault.Vault_NotGuardian.selector, AUTHORITY, GUARDIAN));
        vm.prank(AUTHORITY);
        vault.pause();
        vm.prank(GUARDIAN);
        vault.pause();
        vm.expectRevert(abi.encodeWithSelector(Vault.Vault_Paused.selector, GENESIS, GENESIS + 7 days));
        pays(0, 0, 1);
        vm.warp(GENESIS + 7 days);
        pays(0, 0, BUDGET);
        vm.expectRevert(
            abi.encodeWithSelector(Vault.Vault_PausedTooOften.selector, GENESIS + 7 days, GENESIS + 30 days)
        );
        vm.prank(GUARDIAN);
        vault.pause();
        vm.warp(GENESIS + 30 days);
        vm.prank(GUARDIAN);
        vault.pause();
    }

    function test_setWeights_actsLaterAndTells() public {
        (bytes32[] memory pools, uint16[] memory bps) = split(8_000, 2_000);
        vm.expectEmit(address(vault));
        emit Vault.WeightsSet(1, pools, bps);
        weighs(1, pools, bps);
        (bytes32[] memory said,) = vault.weights();
        vm.assertEq(said.length, 2);
        vm.expectRevert(abi.encodeWithSelector(Vault.Vault_TooLate.selector, uint32(1), uint32(2)));
        weighs(1, pools, bps);
        vm.expectRevert(abi.encodeWithSelector(Vault.Vault_NotAuthority.selector, GUARDIAN, AUTHORITY));
        vm.prank(GUARDIAN);
        vault.setWeights(2, pools, bps);
    }

    function test_setWeights_revertsBeyondItsBounds() public {
        (bytes32[] memory pools, uint16[] memory bps) = split(7_999, 2_001);
        bytes32 bootstrap = "bootstrap";
        vm.expectRevert(abi.encodeWithSelector(Vault.Vault_StepTooLarge.selector, bootstrap, 10_000, 7_999, 2_000));
        weighs(1, pools, bps);
        (pools, bps) = split(8_000, 2_001);
        vm.expectRevert(abi.encodeWithSelector(Vault.Vault_WeightsSum.selector, 10_001, 10_000));
        weighs(1, pools, bps);
        (pools, bps) = split(8_000, 2_000);
        pools[1] = pools[0];
        vm.expectRevert(abi.encodeWithSelector(Vault.Vault_PoolTwice.selector, bootstrap));
        weighs(1, pools, bps);
        vm.expectRevert(abi.encodeWithSelector(Vault.Vault_PoolCount.selector, 2, 17, 16));
        weighs(1, pools, new uint16[](17));
    }

    function test_replace_afterItsWait() public {
        vm.prank(AUTHORITY);
        vault.announce(address(0x5F));
        vm.expectRevert(abi.encodeWithSelector(Succession.Succession_NotYet.selector, GENESIS, GENESIS + REPLACE));
        vault.replace();
        vm.warp(GENESIS + REPLACE);
        vault.replace();
        vm.assertEq(vault.settlement(), address(0x5F));
        vm.expectRevert(abi.encodeWithSelector(Vault.Vault_NotSettlement.selector, CALLER, address(0x5F)));
        pays(0, 0, 1);
    }

    /// @dev A Settlement with neither Token, Stake, Channels nor Governor.
    function oracleOnly() internal {
        vm.warp(GENESIS - 1 days);
        vm.roll(100);
        uint256 nonce = vm.getNonce(address(this));
        address settlementAt = vm.computeCreateAddress(address(this), nonce + 2);
        address challengesAt = vm.computeCreateAddress(address(this), nonce + 3);
        vault = made(coin, settlementAt);
        (address[] memory signers, uint96[] memory weights) = (new address[](3), new uint96[](3));
        uint256[] memory sorted = keysOf(3);
        signed(bytes32(0), sorted);
        for (uint256 i = 0; i < 3; ++i) {
            (signers[i], weights[i]) = (vm.addr(sorted[i]), 1);
        }
        allowed = new AllowList(AUTHORITY, challengesAt, GENESIS, EPOCH, signers, weights);
        settlement = new Settlement(
            Settlement.Parties({
                token: coin,
                payment: coin,
                budget: vault,
                weights: allowed,
                revenue: IRevenue(address(0)),
                authority: AUTHORITY,
                challenges: IChallenges(challengesAt),
                predecessor: Settlement(address(0))
            }),
            clock(),
            STATE,
            POLICY
        );
        challenges =
            new Challenges(Challenges.Config(settlement, coin, allowed, AUTHORITY, GUARDIAN, CHALLENGE_BOND, DATA_FEE));
        coin.mint(address(vault), 10 * BUDGET);
    }

    function opensAllowed() internal {
        vm.warp(readyAt(next()));
        (uint32 first, uint32 attempt) = (next(), settlement.currentAttempt());
        vm.prank(allowed.leadOf(uint256(first) + attempt));
        settlement.open(first, first, attempt, books(first, first), uint64(block.number - 1));
    }

    function test_oracleOnly_fromBooksToAClaim() public {
        oracleOnly();
        Leaf[] memory leaves = new Leaf[](2);
        leaves[0] = Leaf(address(0xBEEF), 70, 0);
        leaves[1] = Leaf(address(0xCAFE), 30, 0);
        Leaf[] memory sorted = leaves.sort();
        opensAllowed();
        Settlement.EpochRoot memory r = draft(sorted.root(), 100);
        proposes(r, 3);
        finalizes(r);
        claims(sorted, 0);
        claims(sorted, 1);
        vm.assertEq(coin.balanceOf(address(0xBEEF)), 70);
        vm.assertEq(coin.balanceOf(address(0xCAFE)), 30);
        vm.assertEq(coin.balanceOf(address(vault)), 10 * BUDGET - 100);
    }

    function test_oracleOnly_whoContradictsItselfLosesItsSeat() public {
        oracleOnly();
        (bytes32 mine, bytes32 other) = (keccak256("mine"), keccak256("other"));
        (bytes32 r1, bytes32 vs1) = compact(keys[0], settlement.digestOf(0, 0, 0, mine));
        (bytes32 r2, bytes32 vs2) = compact(keys[0], settlement.digestOf(0, 0, 0, other));
        vm.warp(GENESIS);
        challenges.slashEquivocation(0, 0, 0, mine, r1, vs1, other, r2, vs2);
        vm.assertEq(allowed.weightOf(vm.addr(keys[0]), 0), 1);
        vm.assertEq(allowed.weightOf(vm.addr(keys[0]), 1), 0);
        vm.assertEq(allowed.totalWeight(1), 2);
    }

    function test_oracleOnly_anEmptyVaultHoldsUpAndLosesNothing() public {
        oracleOnly();
        uint256 all = 10 * BUDGET;
        vm.prank(address(vault));
        coin.transfer(address(this), all);
        Leaf[] memory leaves = new Leaf[](1);
        leaves[0] = Leaf(address(0xBEEF), 70, 0);
        opensAllowed();
        Settlement.EpochRoot memory r = draft(leaves.root(), 70);
        (bytes32[] memory rs, bytes32[] memory vss) = signed(digest(r), keysOf(3));
        sealsPass();
        vm.expectRevert();
        settlement.propose(r, rs, vss);
        coin.transfer(address(vault), all);
        settlement.propose(r, rs, vss);
        finalizes(r);
        claims(leaves, 0);
        vm.assertEq(coin.balanceOf(address(0xBEEF)), 70);
    }
}
