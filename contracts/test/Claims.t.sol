// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Settlement} from "../src/Settlement.sol";
import {Coin} from "./support/Coin.sol";
import {Market} from "./support/Market.sol";
import {Leaf, Tree} from "./support/Tree.sol";

contract ClaimsTest is Market {
    using Tree for Leaf[];

    /// @dev `n` accounts with rewards 10, 20, ... and no fees.
    function people(uint256 n) internal pure returns (Leaf[] memory leaves) {
        leaves = new Leaf[](n);
        for (uint256 i = 0; i < n; ++i) {
            leaves[i] = Leaf(address(uint160(0x9000 + i)), 10 * (i + 1), 0);
        }
    }

    function sumOf(Leaf[] memory leaves) internal pure returns (uint256 sum) {
        for (uint256 i = 0; i < leaves.length; ++i) {
            sum += leaves[i].rewards;
        }
    }

    function refuses(Leaf memory leaf, bytes32[] memory proof, bytes memory why) internal {
        vm.expectRevert(why);
        settlement.claimRewards(leaf.account, leaf.rewards, leaf.fees, proof);
    }

    function invalid() internal view returns (bytes memory) {
        (bytes32 root,,,,) = settlement.finals();
        return abi.encodeWithSelector(Settlement.Settlement_ProofInvalid.selector, root);
    }

    function test_claimRewards_paysTheDifference() public {
        Leaf[] memory tree = pays(people(5), 150);
        claims(tree, 2);
        uint256 had = tree[2].rewards;
        vm.assertEq(token.balanceOf(tree[2].account), had);
        address account = tree[2].account;
        tree[2].rewards += 33;
        tree = pays(tree, 33);
        for (uint256 i = 0; i < 5; ++i) {
            if (tree[i].account != account) continue;
            vm.expectEmit(address(settlement));
            emit Settlement.RewardsClaimed(account, 33);
            claims(tree, i);
        }
        vm.assertEq(token.balanceOf(account), had + 33);
        (uint128 rewards, uint128 fees) = settlement.taken(account);
        vm.assertEq(rewards, had + 33);
        vm.assertEq(fees, 0);
        (rewards, fees) = settlement.paid();
        vm.assertEq(rewards, had + 33);
        vm.assertEq(fees, 0);
    }

    function test_A12_frontRunPaysTheAccount() public {
        Leaf[] memory tree = pays(people(3), 60);
        address thief = address(0xBAD);
        vm.prank(thief);
        settlement.claimRewards(tree[0].account, tree[0].rewards, 0, tree.proof(0));
        vm.assertEq(token.balanceOf(thief), 0);
        vm.assertEq(token.balanceOf(tree[0].account), tree[0].rewards);
    }

    function test_A06_zeroRootNeverVerifies() public {
        refuses(Leaf(address(1), 1, 0), new bytes32[](0), invalid());
        settles(0, 0, 0);
        refuses(Leaf(address(1), 1, 0), new bytes32[](1), invalid());
    }

    function test_A06_zeroRootNeverVerifiesMany() public {
        vm.expectRevert(invalid());
        settlement.claimMany(new address[](0), new uint256[](0), new uint256[](0), new bytes32[](1), new bool[](0));
    }

    function test_A01_innerNodeIsNoLeaf() public {
        Leaf[] memory tree = pays(people(4), 100);
        bytes32[] memory nodes = tree.nodes();
        bytes32[] memory path = new bytes32[](1);
        path[0] = nodes[2];
        refuses(Leaf(address(uint160(uint256(nodes[3]))), uint256(nodes[4]), 0), path, invalid());
        refuses(Leaf(address(uint160(uint256(nodes[3]))), uint256(nodes[4]), uint256(nodes[2])), new bytes32[](0), invalid());
    }

    function test_A02_emptyProofOnlyForSingleLeaf() public {
        Leaf[] memory tree = pays(people(2), 30);
        refuses(tree[0], new bytes32[](0), invalid());
        Leaf[] memory one = new Leaf[](1);
        one[0] = Leaf(address(0x77), 30, 0);
        one = pays(one, 0);
        settlement.claimRewards(address(0x77), 30, 0, new bytes32[](0));
        vm.assertEq(token.balanceOf(address(0x77)), 30);
    }

    function test_A03_otherProofLengthReverts() public {
        Leaf[] memory tree = pays(people(8), 360);
        bytes32[] memory path = tree.proof(3);
        bytes32[] memory longer = new bytes32[](4);
        bytes32[] memory shorter = new bytes32[](2);
        for (uint256 i = 0; i < 3; ++i) {
            longer[i] = path[i];
            if (i < 2) shorter[i] = path[i];
        }
        longer[3] = tree.root();
        refuses(tree[3], longer, invalid());
        refuses(tree[3], shorter, invalid());
        path[1] ^= bytes32(uint256(1));
        refuses(tree[3], path, invalid());
    }

    function test_A04_duplicateLeavesPayTheLargest() public {
        Leaf[] memory leaves = people(4);
        leaves[1].account = leaves[0].account;
        Leaf[] memory tree = pays(leaves, 100);
        uint256 large = 0;
        uint256 small = 0;
        for (uint256 i = 0; i < 4; ++i) {
            if (tree[i].rewards == 20) large = i;
            if (tree[i].rewards == 10) small = i;
        }
        claims(tree, small);
        claims(tree, large);
        vm.assertEq(token.balanceOf(tree[large].account), 20);
        refuses(
            tree[small],
            tree.proof(small),
            abi.encodeWithSelector(Settlement.Settlement_ClaimableTooLow.selector, 10, 20)
        );
    }

    function test_A05_zeroLeafReverts() public {
        pays(people(5), 150);
        refuses(Leaf(address(0), 0, 0), new bytes32[](0), invalid());
        refuses(Leaf(address(0), 0, 0), new bytes32[](3), invalid());
    }

    function test_A07_staleRootReverts() public {
        Leaf[] memory old = pays(people(4), 100);
        bytes32[] memory oldProof = old.proof(1);
        Leaf memory oldLeaf = Leaf(old[1].account, old[1].rewards, 0);
        Leaf[] memory tree = people(4);
        for (uint256 i = 0; i < 4; ++i) {
            tree[i].rewards += 5;
        }
        tree = pays(tree, 20);
        refuses(oldLeaf, oldProof, invalid());
        for (uint256 i = 0; i < 4; ++i) {
            claims(tree, i);
        }
        refuses(oldLeaf, oldProof, invalid());
        vm.assertEq(token.balanceOf(address(settlement)), 0);
    }

    function test_A08_lowerCumulativeReverts() public {
        Leaf[] memory tree = pays(people(1), 10);
        claims(tree, 0);
        tree[0].rewards = 9;
        tree = pays(tree, 0);
        refuses(tree[0], tree.proof(0), abi.encodeWithSelector(Settlement.Settlement_ClaimableTooLow.selector, 9, 10));
    }

    function test_A09_equalCumulativeIsNotPaidTwice() public {
        Leaf[] memory tree = pays(people(4), 100);
        claims(tree, 1);
        uint256 total = tree[1].rewards;
        refuses(
            tree[1], tree.proof(1), abi.encodeWithSelector(Settlement.Settlement_ClaimableTooLow.selector, total, total)
        );
        tree = pays(tree, 0);
        refuses(
            tree[1], tree.proof(1), abi.encodeWithSelector(Settlement.Settlement_ClaimableTooLow.selector, total, total)
        );
    }

    function test_A10_hugeCumulativeReverts() public {
        Leaf[] memory leaves = people(3);
        leaves[0].rewards = type(uint256).max;
        leaves[1].rewards = uint256(type(uint128).max) + 1;
        Leaf[] memory tree = pays(leaves, 100);
        for (uint256 i = 0; i < 3; ++i) {
            if (tree[i].rewards < 100) continue;
            refuses(
                tree[i],
                tree.proof(i),
                abi.encodeWithSelector(Settlement.Settlement_ClaimsExceedTotal.selector, tree[i].rewards, 100)
            );
        }
    }

    function test_A11_oddAccountsHarmNobody() public {
        Leaf[] memory leaves = people(4);
        (leaves[0].account, leaves[1].account, leaves[2].account) = (address(0), address(settlement), address(token));
        Leaf[] memory tree = pays(leaves, 100);
        uint256 good = 0;
        for (uint256 i = 0; i < 4; ++i) {
            if (tree[i].account == address(0)) {
                refuses(
                    tree[i],
                    tree.proof(i),
                    abi.encodeWithSelector(IERC20Errors.ERC20InvalidReceiver.selector, address(0))
                );
            } else {
                claims(tree, i);
                if (tree[i].rewards == 40) good = i;
            }
        }
        vm.assertEq(token.balanceOf(tree[good].account), 40);
        vm.assertEq(token.balanceOf(address(settlement)), 10 + 20);
        vm.assertEq(token.balanceOf(address(token)), 30);
    }

    function test_A16_sumAboveTotalStopsAtTotal() public {
        Leaf[] memory tree = pays(people(3), 59);
        for (uint256 i = 0; i < 3; ++i) {
            uint256 left = token.balanceOf(address(settlement));
            if (tree[i].rewards <= left) {
                claims(tree, i);
            } else {
                refuses(
                    tree[i],
                    tree.proof(i),
                    abi.encodeWithSelector(Settlement.Settlement_ClaimsExceedTotal.selector, tree[i].rewards, left)
                );
            }
        }
        token.transfer(address(settlement), 1_000); // a gift is nobody's
        refuses(
            tree[2],
            tree.proof(2),
            abi.encodeWithSelector(
                Settlement.Settlement_ClaimsExceedTotal.selector,
                tree[2].rewards,
                token.balanceOf(address(settlement)) - 1_000
            )
        );
    }

    function test_A17_leafOfAnotherContractReverts() public {
        pays(people(4), 100);
        Leaf[] memory theirs = people(4);
        theirs[0].rewards = 99;
        theirs = theirs.sort();
        for (uint256 i = 0; i < 4; ++i) {
            refuses(theirs[i], theirs.proof(i), invalid());
        }
    }

    function test_A18_claimInSameBlockAndDuringPending() public {
        Leaf[] memory tree = pays(people(4), 100);
        claims(tree, 0);
        opens(1);
        claims(tree, 1);
        proposes(draft("later", 5), 3);
        claims(tree, 2);
        vm.warp(block.timestamp + 30 days);
        claims(tree, 3);
        vm.assertEq(token.balanceOf(address(settlement)), 0);
    }

    function testFuzz_everyLeafIsPaidInFull(uint256 seed, uint256 n) public {
        Leaf[] memory leaves = new Leaf[](bound(n, 1, 40));
        for (uint256 i = 0; i < leaves.length; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            leaves[i] = Leaf(address(uint160(seed | 1)), 1 + (seed >> 160) % 1e18, 0);
        }
        Leaf[] memory tree = pays(leaves, sumOf(leaves));
        for (uint256 i = 0; i < tree.length; ++i) {
            bytes32[] memory path = tree.proof(i);
            refuses(Leaf(tree[i].account, tree[i].rewards + 1, 0), path, invalid());
            refuses(Leaf(tree[i].account, tree[i].rewards, 1), path, invalid());
            refuses(Leaf(address(0xBAD), tree[i].rewards, 0), path, invalid());
            claims(tree, i);
            vm.assertEq(token.balanceOf(tree[i].account), tree[i].rewards);
        }
        vm.assertEq(token.balanceOf(address(settlement)), 0);
    }

    function test_claimFees_isApartFromRewards() public {
        Leaf[] memory leaves = people(2);
        (leaves[0].fees, leaves[1].fees) = (7, 8);
        earns(15);
        Leaf[] memory tree = pays(leaves, 30);
        for (uint256 i = 0; i < 2; ++i) {
            vm.expectEmit(address(settlement));
            emit Settlement.FeesClaimed(tree[i].account, tree[i].fees);
            settlement.claimFees(tree[i].account, tree[i].rewards, tree[i].fees, tree.proof(i));
            vm.assertEq(coin.balanceOf(tree[i].account), tree[i].fees);
            vm.assertEq(token.balanceOf(tree[i].account), 0);
            claims(tree, i);
            vm.assertEq(token.balanceOf(tree[i].account), tree[i].rewards);
        }
        vm.expectRevert(
            abi.encodeWithSelector(Settlement.Settlement_ClaimableTooLow.selector, tree[0].fees, tree[0].fees)
        );
        settlement.claimFees(tree[0].account, tree[0].rewards, tree[0].fees, tree.proof(0));
        (uint128 rewards, uint128 fees) = settlement.paid();
        vm.assertEq(rewards, 30);
        vm.assertEq(fees, 15);
    }

    function test_B29_frozenFeesDoNotBlockRewards() public {
        Leaf[] memory leaves = people(2);
        leaves[0].fees = 7;
        earns(7);
        Leaf[] memory tree = pays(leaves, 30);
        uint256 i = tree[0].fees == 7 ? 0 : 1;
        coin.freeze(tree[i].account);
        vm.expectRevert(abi.encodeWithSelector(Coin.Coin_Frozen.selector, tree[i].account));
        settlement.claimFees(tree[i].account, tree[i].rewards, 7, tree.proof(i));
        claims(tree, i);
        vm.assertEq(token.balanceOf(tree[i].account), tree[i].rewards);
    }

    /// @dev `n` accounts with fees 1, 2, ... and the rewards of `people`, paid for.
    function earners(uint128 n) internal returns (Leaf[] memory leaves) {
        leaves = people(n);
        for (uint256 i = 0; i < n; ++i) {
            leaves[i].fees = i + 1;
        }
        earns(n * (n + 1) / 2);
    }

    function refusesFees(Leaf memory leaf, bytes32[] memory proof, bytes memory why) internal {
        vm.expectRevert(why);
        settlement.claimFees(leaf.account, leaf.rewards, leaf.fees, proof);
    }

    function claimsFees(Leaf[] memory tree, uint256 i) internal {
        settlement.claimFees(tree[i].account, tree[i].rewards, tree[i].fees, tree.proof(i));
    }

    function test_A07_staleRootPaysNoFees() public {
        Leaf[] memory old = pays(earners(4), 100);
        bytes32[] memory oldProof = old.proof(1);
        Leaf memory oldLeaf = Leaf(old[1].account, old[1].rewards, old[1].fees);
        Leaf[] memory tree = earners(4);
        for (uint256 i = 0; i < 4; ++i) {
            tree[i].fees *= 2;
        }
        tree = pays(tree, 0);
        refusesFees(oldLeaf, oldProof, invalid());
        for (uint256 i = 0; i < 4; ++i) {
            claimsFees(tree, i);
            vm.assertEq(coin.balanceOf(tree[i].account), tree[i].fees);
        }
        vm.assertEq(coin.balanceOf(address(settlement)), 0);
    }

    function test_A08_lowerFeesLaterRevert() public {
        Leaf[] memory tree = pays(earners(3), 60);
        for (uint256 i = 0; i < 3; ++i) {
            claimsFees(tree, i);
        }
        Leaf[] memory lower = people(3);
        for (uint256 i = 0; i < 3; ++i) {
            lower[i].fees = i;
        }
        lower = pays(lower, 0);
        refusesFees(
            lower[0],
            lower.proof(0),
            abi.encodeWithSelector(Settlement.Settlement_ClaimableTooLow.selector, lower[0].fees, lower[0].fees + 1)
        );
    }

    function test_A09_equalFeesAreNotPaidTwice() public {
        Leaf[] memory tree = pays(earners(3), 60);
        claimsFees(tree, 1);
        refusesFees(
            tree[1],
            tree.proof(1),
            abi.encodeWithSelector(Settlement.Settlement_ClaimableTooLow.selector, tree[1].fees, tree[1].fees)
        );
    }

    function test_A10_hugeFeesRevert() public {
        Leaf[] memory leaves = earners(3);
        leaves[0].fees = type(uint256).max;
        leaves[1].fees = uint256(type(uint128).max) + 1;
        Leaf[] memory tree = pays(leaves, 60);
        for (uint256 i = 0; i < 3; ++i) {
            if (tree[i].fees < 100) continue;
            refusesFees(
                tree[i],
                tree.proof(i),
                abi.encodeWithSelector(Settlement.Settlement_ClaimsExceedTotal.selector, tree[i].fees, 6)
            );
        }
    }

    function test_A16_feesAboveTotalStopAtTotal() public {
        Leaf[] memory leaves = earners(3);
        leaves[2].fees = 4;
        Leaf[] memory tree = pays(leaves, 60);
        uint256 left = 6;
        for (uint256 i = 0; i < 3; ++i) {
            if (tree[i].fees <= left) {
                claimsFees(tree, i);
                left -= tree[i].fees;
            } else {
                refusesFees(
                    tree[i],
                    tree.proof(i),
                    abi.encodeWithSelector(Settlement.Settlement_ClaimsExceedTotal.selector, tree[i].fees, left)
                );
            }
        }
        Many memory b = manyOf(tree, all(3));
        (, uint128 paid) = settlement.paid();
        vm.assertEq(paid, 6 - left);
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_ClaimsExceedTotal.selector, 7 - paid, left));
        settlement.claimFeesMany(b.accounts, b.rewards, b.fees, b.proof, b.flags);
    }

    function test_A12_frontRunPaysFeesToTheAccount() public {
        Leaf[] memory tree = pays(earners(3), 60);
        vm.prank(address(0xBAD));
        claimsFees(tree, 0);
        vm.assertEq(coin.balanceOf(address(0xBAD)), 0);
        vm.assertEq(coin.balanceOf(tree[0].account), tree[0].fees);
    }

    struct Many {
        address[] accounts;
        uint256[] rewards;
        uint256[] fees;
        bytes32[] proof;
        bool[] flags;
    }

    function manyOf(Leaf[] memory tree, uint256[] memory indices) internal pure returns (Many memory b) {
        b.accounts = new address[](indices.length);
        b.rewards = new uint256[](indices.length);
        b.fees = new uint256[](indices.length);
        for (uint256 i = 0; i < indices.length; ++i) {
            Leaf memory leaf = tree[indices[i]];
            (b.accounts[i], b.rewards[i], b.fees[i]) = (leaf.account, leaf.rewards, leaf.fees);
        }
        (b.proof, b.flags) = tree.multiproof(indices);
    }

    function all(uint256 n) internal pure returns (uint256[] memory indices) {
        indices = new uint256[](n);
        for (uint256 i = 0; i < n; ++i) {
            indices[i] = i;
        }
    }

    function claimsMany(Many memory b) internal {
        settlement.claimMany(b.accounts, b.rewards, b.fees, b.proof, b.flags);
    }

    function test_claimMany_paysEveryone() public {
        Leaf[] memory tree = pays(people(9), 450);
        claimsMany(manyOf(tree, all(9)));
        for (uint256 i = 0; i < 9; ++i) {
            vm.assertEq(token.balanceOf(tree[i].account), tree[i].rewards);
        }
        vm.assertEq(token.balanceOf(address(settlement)), 0);
    }

    function test_A14_claimedEntryIsPassedOver() public {
        Leaf[] memory tree = pays(people(9), 450);
        claims(tree, 4);
        claimsMany(manyOf(tree, all(9)));
        claimsMany(manyOf(tree, all(9)));
        vm.assertEq(token.balanceOf(tree[4].account), tree[4].rewards);
        vm.assertEq(token.balanceOf(address(settlement)), 0);
    }

    function test_A14_wrongEntryRevertsTheBatch() public {
        Leaf[] memory tree = pays(people(9), 450);
        Many memory b = manyOf(tree, all(9));
        b.rewards[3] += 1;
        vm.expectRevert(invalid());
        claimsMany(b);
        vm.assertEq(token.balanceOf(address(settlement)), 450);
    }

    function test_A13_duplicatedAccountsArePaidOnce() public {
        Leaf[] memory leaves = people(4);
        address twice = leaves[0].account;
        leaves[1].account = twice;
        Leaf[] memory tree = pays(leaves, 100);
        claimsMany(manyOf(tree, all(4)));
        vm.assertEq(token.balanceOf(twice), 20, "the larger leaf");
        Many memory b = manyOf(tree, all(4));
        b.accounts[1] = b.accounts[0];
        b.rewards[1] = b.rewards[0];
        vm.expectRevert(invalid());
        claimsMany(b);
    }

    function test_A13_badFlagsRevert() public {
        Leaf[] memory tree = pays(people(4), 100);
        Many memory b = manyOf(tree, all(4));
        b.flags[0] = false;
        vm.expectRevert();
        claimsMany(b);
        b = manyOf(tree, all(4));
        b.flags = new bool[](b.flags.length + 1);
        vm.expectRevert();
        claimsMany(b);
        b = manyOf(tree, all(3));
        b.proof = new bytes32[](0);
        vm.expectRevert();
        claimsMany(b);
        vm.assertEq(token.balanceOf(address(settlement)), 100);
    }

    function test_A13_lengthsDifferReverts() public {
        Leaf[] memory tree = pays(people(4), 100);
        Many memory b = manyOf(tree, all(4));
        b.fees = new uint256[](3);
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_LengthsDiffer.selector, 4, 4, 3));
        claimsMany(b);
        b.rewards = new uint256[](5);
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_LengthsDiffer.selector, 4, 5, 3));
        claimsMany(b);
    }

    function test_A16_sumAboveTotalRevertsTheBatch() public {
        Leaf[] memory tree = pays(people(3), 59);
        Many memory b = manyOf(tree, all(3));
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_ClaimsExceedTotal.selector, 60, 59));
        claimsMany(b);
    }

    function testFuzz_claimMany_paysExactlyTheSubset(uint256 seed, uint256 n, uint256 chosen) public {
        n = bound(n, 1, 24);
        Leaf[] memory leaves = people(n);
        leaves[seed % n].rewards += 7;
        Leaf[] memory tree = pays(leaves, sumOf(leaves));
        uint256 picked = 0;
        for (uint256 i = 0; i < n; ++i) {
            picked += chosen >> i & 1;
        }
        uint256[] memory indices = new uint256[](picked);
        uint256 sum = 0;
        picked = 0;
        for (uint256 i = 0; i < n; ++i) {
            if (chosen >> i & 1 == 0) continue;
            indices[picked++] = i;
            sum += tree[i].rewards;
        }
        if (picked == 0) return;
        claimsMany(manyOf(tree, indices));
        (uint128 paid,) = settlement.paid();
        vm.assertEq(paid, sum);
        for (uint256 i = 0; i < n; ++i) {
            vm.assertEq(token.balanceOf(tree[i].account), chosen >> i & 1 == 0 ? 0 : tree[i].rewards);
        }
    }

    function claimsFeesMany(Many memory b) internal {
        settlement.claimFeesMany(b.accounts, b.rewards, b.fees, b.proof, b.flags);
    }

    function test_claimFeesMany_paysEveryone() public {
        Leaf[] memory tree = pays(earners(9), 450);
        claimsFees(tree, 4);
        Many memory b = manyOf(tree, all(9));
        vm.expectEmit(address(settlement));
        emit Settlement.FeesClaimed(tree[0].account, tree[0].fees);
        claimsFeesMany(b);
        claimsFeesMany(b);
        for (uint256 i = 0; i < 9; ++i) {
            vm.assertEq(coin.balanceOf(tree[i].account), tree[i].fees);
            vm.assertEq(token.balanceOf(tree[i].account), 0);
        }
        vm.assertEq(coin.balanceOf(address(settlement)), 0);
        claimsMany(b);
        (uint128 rewards, uint128 fees) = settlement.paid();
        vm.assertEq(rewards, 450);
        vm.assertEq(fees, 45);
    }

    function test_A13_feesOfDuplicatedAccountsArePaidOnce() public {
        Leaf[] memory leaves = earners(4);
        address twice = leaves[0].account;
        leaves[1].account = twice;
        Leaf[] memory tree = pays(leaves, 100);
        claimsFeesMany(manyOf(tree, all(4)));
        vm.assertEq(coin.balanceOf(twice), 2, "the larger leaf");
    }

    function test_A14_wrongFeesRevertTheBatch() public {
        Leaf[] memory tree = pays(earners(9), 450);
        Many memory b = manyOf(tree, all(9));
        b.fees[3] += 1;
        vm.expectRevert(invalid());
        claimsFeesMany(b);
        b.fees = new uint256[](8);
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_LengthsDiffer.selector, 9, 9, 8));
        claimsFeesMany(b);
    }

    /// @dev One frozen account stops a batch; everybody else is paid without it.
    function test_B29_frozenAccountIsLeftOutOfTheBatch() public {
        Leaf[] memory tree = pays(earners(3), 60);
        coin.freeze(tree[2].account);
        vm.expectRevert(abi.encodeWithSelector(Coin.Coin_Frozen.selector, tree[2].account));
        claimsFeesMany(manyOf(tree, all(3)));
        claimsFeesMany(manyOf(tree, all(2)));
        vm.assertEq(coin.balanceOf(address(settlement)), tree[2].fees);
    }
}

/// @dev Customers pay in the token that rewards are paid in.
contract OwnTokenClaimsTest is Market {
    using Tree for Leaf[];

    function payment() internal view override returns (IERC20) {
        return token;
    }

    function test_A16_feesAndRewardsOfOneTokenStayApart() public {
        earns(5);
        Leaf[] memory tree = new Leaf[](1);
        tree[0] = Leaf(address(0x77), 31, 6);
        tree = pays(tree, 30);
        vm.assertEq(token.balanceOf(address(settlement)), 35);
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_ClaimsExceedTotal.selector, 31, 30));
        claims(tree, 0);
        vm.expectRevert(abi.encodeWithSelector(Settlement.Settlement_ClaimsExceedTotal.selector, 6, 5));
        settlement.claimFees(address(0x77), 31, 6, new bytes32[](0));
        tree[0] = Leaf(address(0x77), 30, 5);
        tree = pays(tree, 0);
        claims(tree, 0);
        settlement.claimFees(address(0x77), 30, 5, new bytes32[](0));
        vm.assertEq(token.balanceOf(address(0x77)), 35);
    }
}
