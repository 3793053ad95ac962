// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {AssetShares} from "../src/AssetShares.sol";
import {Test} from "./Vm.sol";
import {Raise} from "./support/Raise.sol";

/// @dev Three raises of small, middling and unlikely caps, and everything that people can do with them, in any order.
contract Crowd is Raise {
    uint256 internal constant PEOPLE = 6;
    uint256 internal constant RAISES = 3;

    AssetShares[RAISES] internal raised;
    uint256[RAISES] internal paidIn;
    uint256[RAISES] internal refunded;
    mapping(AssetShares => mapping(IERC20 => uint256)) public withdrawn;

    uint256 public failures;
    uint256 public released;
    uint256 public refunds;
    uint256 public withdrawals;
    uint256 public transfers;

    constructor() {
        setUp();
        uint128[RAISES] memory caps = [uint128(50), 2_000, 1e15];
        for (uint256 i = 0; i < RAISES; ++i) {
            AssetShares.Terms memory t = terms();
            (t.softCap, t.hardCap, t.buildEnd) = (caps[i], 3 * caps[i], RAISE_END + 20 days);
            raised[i] = raises(factory, t);
        }
        for (uint256 i = 0; i < PEOPLE; ++i) {
            vouches(person(i));
        }
        vm.startPrank(BUILDER);
        assets.transferFrom(BUILDER, address(raised[0]), uint256(roof));
        assets.transferFrom(BUILDER, address(raised[1]), uint256(mast));
        vm.stopPrank();
        finals.set(leaf(mast, 0, 10));
    }

    /// @dev Once: the fuzzer finds it too.
    function setUp() public override {
        if (address(factory) == address(0)) super.setUp();
    }

    function person(uint256 i) public pure returns (address) {
        return address(uint160(0x9000 + i % PEOPLE));
    }

    function theRaise(uint256 i) public view returns (AssetShares) {
        return raised[i];
    }

    function currencies() public view returns (IERC20, IERC20) {
        return (payment(), rewards_());
    }

    function ledger(uint256 i) external view returns (uint256, uint256) {
        return (paidIn[i], refunded[i]);
    }

    function waits(uint256 secs) external {
        vm.warp(block.timestamp + bound(secs, 1, 20 days));
    }

    function contributes(uint256 which, uint256 who, uint256 amount) external {
        uint256 i = which % RAISES;
        (shares, amount) = (raised[i], bound(amount, 0, 5_000));
        if (shares.state() != AssetShares.State.RAISE || amount == 0) return;
        paidIn[i] += paysIn(person(who), amount);
    }

    function money(uint256 which, uint256 fees, uint256 rewards) external {
        shares = raised[which % RAISES];
        earns(bound(fees, 0, 1_000), bound(rewards, 0, 1e24));
    }

    function moves(uint256 which, uint256 from, uint256 to, uint256 amount) external {
        shares = raised[which % RAISES];
        amount = bound(amount, 0, shares.balanceOf(person(from)));
        vm.prank(person(from));
        shares.transfer(person(to), amount);
        ++transfers;
    }

    function synchronises(uint256 which) external {
        shares = raised[which % RAISES];
        if (shares.state() == AssetShares.State.LIVE) shares.sync();
    }

    /// @dev What can be withdrawn always can.
    function withdraws(uint256 which, uint256 who, bool inToken) external {
        shares = raised[which % RAISES];
        IERC20 currency = inToken ? rewards_() : payment();
        uint256 wanted = shares.withdrawable(person(who), currency);
        if (wanted == 0) return;
        try shares.withdraw(person(who), currency) returns (uint256 amount) {
            if (amount != wanted) ++failures;
            withdrawn[shares][currency] += amount;
            ++withdrawals;
        } catch {
            ++failures;
        }
    }

    /// @dev Who holds shares of a failed raise always has them back.
    function takesBack(uint256 which, uint256 who) external {
        uint256 i = which % RAISES;
        uint256 held = raised[i].balanceOf(person(who));
        if (raised[i].state() != AssetShares.State.REFUND || held == 0) return;
        uint256 before = coin.balanceOf(person(who));
        try raised[i].refund(person(who)) {
            if (coin.balanceOf(person(who)) != before + held) ++failures;
            refunded[i] += held;
            ++refunds;
        } catch {
            ++failures;
        }
    }

    function releases(uint256 which, uint256 milestone) external {
        bytes32[] memory none = new bytes32[](0);
        try raised[which % RAISES].release(milestone % 3, 0, 17, 23, 10, none) {
            ++released;
        } catch {}
    }

    function returns_(uint256 which, bool inToken) external {
        try raised[which % RAISES].returnEarnings(inToken ? rewards_() : payment()) {} catch {}
        try raised[which % RAISES].returnAsset(roof) {} catch {}
    }

    function freezes(uint256 seed) external {
        if (seed % 4 == 0) coin.freeze(BUILDER);
    }
}

contract SharesInvariants is Test {
    Crowd internal crowd;
    IERC20[2] internal currencies;

    function setUp() public {
        crowd = new Crowd();
        (currencies[0], currencies[1]) = crowd.currencies();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(crowd);
    }

    /// @dev Of everybody's shares, in units of 1 / supply.
    function owed(AssetShares shares, IERC20 currency) internal view returns (uint256 sum) {
        (uint256 total,) = shares.revenue(currency);
        for (uint256 i = 0; i < 6; ++i) {
            (uint256 seen, uint256 due) = shares.positions(crowd.person(i), currency);
            sum += due + shares.balanceOf(crowd.person(i)) * (total - seen);
        }
    }

    /// forge-config: default.invariant.runs = 16
    function invariant_owedIsHeld() public view {
        for (uint256 i = 0; i < 3; ++i) {
            AssetShares shares = crowd.theRaise(i);
            for (uint256 j = 0; j < 2; ++j) {
                uint256 held = currencies[j].balanceOf(address(shares));
                (uint128 total, uint128 paid) = shares.revenue(currencies[j]);
                uint256 promised = total - paid;
                bool escrows = shares.state() != AssetShares.State.LIVE || block.timestamp < shares.terms().buildEnd;
                if (j == 0 && escrows) promised += shares.totalSupply() - shares.released();
                vm.assertLe(promised, held);
            }
        }
    }

    /// forge-config: default.invariant.runs = 16
    function invariant_owedIsRevenueLessPaidExactly() public view {
        for (uint256 i = 0; i < 3; ++i) {
            AssetShares shares = crowd.theRaise(i);
            for (uint256 j = 0; j < 2; ++j) {
                (uint128 total, uint128 paid) = shares.revenue(currencies[j]);
                vm.assertEq(owed(shares, currencies[j]), uint256(total - paid) * shares.totalSupply());
                vm.assertEq(crowd.withdrawn(shares, currencies[j]), paid);
                vm.assertLe(paid, total);
            }
        }
    }

    /// forge-config: default.invariant.runs = 16
    function invariant_sharesAreWhatWasPaidIn() public view {
        for (uint256 i = 0; i < 3; ++i) {
            AssetShares shares = crowd.theRaise(i);
            (uint256 paidIn, uint256 refunded) = crowd.ledger(i);
            vm.assertEq(shares.totalSupply(), paidIn - refunded);
            if (shares.state() == AssetShares.State.LIVE) vm.assertEq(refunded, 0);
            if (shares.state() != AssetShares.State.LIVE) vm.assertEq(shares.released(), 0);
        }
    }

    /// forge-config: default.invariant.runs = 16
    function invariant_nobodyIsRefusedHisMoney() public view {
        vm.assertEq(crowd.failures(), 0);
    }

    function test_crowdReachesEverything() public {
        for (uint256 i = 0; i < 6; ++i) {
            crowd.contributes(0, i, 10);
            crowd.contributes(1, i, 1_000);
            crowd.contributes(2, i, 1_000 + i);
        }
        crowd.money(1, 900, 7e20);
        crowd.waits(20 days - 2);
        crowd.waits(20 days - 2);
        crowd.releases(0, 0);
        crowd.releases(1, 2);
        crowd.moves(1, 0, 1, 500);
        for (uint256 i = 0; i < 6; ++i) {
            crowd.takesBack(2, i);
            crowd.withdraws(1, i, false);
            crowd.withdraws(1, i, true);
        }
        vm.assertEq(crowd.released(), 2);
        vm.assertEq(crowd.refunds(), 6);
        vm.assertEq(crowd.withdrawals(), 12);
        vm.assertEq(crowd.failures(), 0);
        invariant_owedIsHeld();
        invariant_owedIsRevenueLessPaidExactly();
        invariant_sharesAreWhatWasPaidIn();
    }
}
