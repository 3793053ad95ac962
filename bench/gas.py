"""What a claim costs: whole transactions on a real anvil, against a payout tree of a million accounts.

Two epochs become final under three verifiers' signatures; some accounts whose proof has 20 hashes claim after each. ``claim_gas_first`` and
``claim_gas_repeat`` are the dearest of these claims, from their receipts: the amounts and hashes differ in their zero bytes.

Beside them stands the least that such a transaction can cost, in gas of the Cancun schedule:

    21,000                                    any transaction
    + 4 per zero byte + 16 per other byte     of its calldata: 4 + 3 x 32 + 2 x 32 + 20 x 32 bytes
    + 2,100                                   read the root
    + 22,100 | 5,000                          note what was taken: first | repeat
    + 5,000                                   note what was paid of the total, so that a bad root cannot take another range's money
    + 2,600                                   call the token
    + 5,000 + (22,100 | 5,000)                the two balances
    + 4,200                                   the token asks for two delegates, since it has votes
    + 1,756 + 1,381                           the logs Transfer and RewardsClaimed
    + 20 x 42 + 48 + 36                       a hash for each step of the proof, two for the leaf

``open_gas``, ``settle_14_of_21_gas`` and ``equivocation_gas`` are whole transactions of a network with 21 verifiers in steady state: every
slot they write was written before, and the panel of weights was published since the last change. ``settle_14_of_21_gas`` is a proposal with
the least signatures that make it, of an epoch in which the rewards grow; ``equivocation_gas`` proves two votes of one signer.

``redeem_gas_each_of_50`` is a whole ``redeemMany`` of fifty vouchers, divided by fifty. Each is of another customer's lane that was
redeemed before, the clerk countersigned them together, and customers pay in a stablecoin.
"""

from __future__ import annotations

import socket
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from subak.chain.accounts import Account
from subak.chain.channels import Channels, LaneFact, Redemption
from subak.chain.contracts import Sender
from subak.chain.deploy import Genesis, Plan, SalesPlan, SchedulePlan, StakePlan, TokenPlan, contract, deploy
from subak.chain.local import CHAIN_ID, LocalChain
from subak.chain.rpc import Rpc
from subak.chain.settlement import Settlement
from subak.chain.stake import Stake
from subak.core.canon.merkle import Tree, pack_words, standard_leaf_hashes
from subak.core.canon.typed_data import EpochRoot, result_hash, vote_digest
from subak.core.canon.vouchers import countersigned_digest, struct_digest, struct_hash
from subak.core.nouns.document import Hash
from subak.core.nouns.network import Clock, Contracts

ACCOUNTS = 1_000_000
DEPTH = 20
CLAIMS = 12
TOGETHER = 64
VOUCHERS = 50
COUNCIL = 21
QUORUM = 14
LANE_LIMIT = 10**7
"""Payment units, ten dollars."""
UNIT = 10**18
MOST_PER_EPOCH = 200 * UNIT
"""An account earns up to this in an epoch."""
GENESIS_UNIX_S = 1_496_275_200
DAY_S = 86_400
BUDGET = ACCOUNTS * MOST_PER_EPOCH
BOND = 1000 * UNIT
CLOCK = Clock(genesis_unix_s=GENESIS_UNIX_S, epoch_seconds=DAY_S, grace_seconds=3600, attempt_seconds=21_600, challenge_seconds=21_600)


@dataclass(frozen=True)
class Payouts:
    """What the accounts have earned up to one epoch."""

    accounts: NDArray[np.uint8]
    """(accounts, 20)"""
    rewards: Sequence[int]
    """Running totals."""
    tree: Tree
    """Over (account, rewards, 0)."""

    def leaf(self, row: int) -> tuple[bytes, int, int]:
        """The tuple behind a leaf."""
        return self.accounts[row].tobytes(), self.rewards[row], 0


def run() -> dict[str, float]:
    """Measures, prints and returns ``claim_gas_first`` and ``claim_gas_repeat``, the dearest claims, what lies beside them,
    ``redeem_gas_each_of_50``, and what a settlement costs: ``open_gas``, ``settle_14_of_21_gas``, ``equivocation_gas``."""
    council = _council()
    print(f"  open {council['open_gas']:,}, propose with {QUORUM} of {COUNCIL} {council['settle_14_of_21_gas']:,} gas; the same without a")
    print(f"  published panel {council['settle_14_of_21_gas_unpublished']:,}; two votes of one signer {council['equivocation_gas']:,}")
    started = time.perf_counter()
    first, second = _payouts()
    deep = [row for row in range(4 * CLAIMS) if len(first.tree.proof(row)) == len(second.tree.proof(row)) == DEPTH][:CLAIMS]
    together = range(ACCOUNTS - TOGETHER, ACCOUNTS)
    print(f"  two trees of {ACCOUNTS:,} accounts in {time.perf_counter() - started:.0f} s")
    with tempfile.TemporaryDirectory(prefix="subak-bench-") as folder, LocalChain(Path(folder), _free_port(), GENESIS_UNIX_S, 1) as chain:
        town = _Town(chain)
        street = _Street(chain, town)
        street.redeem(0)
        redeem = street.redeem(1)
        town.finish(0, first)
        firsts, floors_first = town.claims(first, deep)
        many_first = town.claim_together(first, together)
        town.finish(1, second)
        repeats, floors_repeat = town.claims(second, deep, again=True)
        many_repeat = town.claim_together(second, together)
    for words, gas, floors in (("first", firsts, floors_first), ("repeat", repeats, floors_repeat)):
        least = max(floors)
        print(f"  {words:7} {min(gas):,} to {max(gas):,} gas in {len(gas)} claims; bound {least:,}, {max(gas) / least:.3f} times that")
    print(f"  {TOGETHER} accounts at random places of the tree in one claimMany: {many_first:,.0f} gas each, {many_repeat:,.0f} again")
    print(f"  {VOUCHERS} vouchers of as many customers in one redeemMany, not the first: {redeem:,.0f} gas each")
    return {
        **council,
        "redeem_gas_each_of_50": redeem,
        "claim_gas_first": max(firsts),
        "claim_gas_repeat": max(repeats),
        "claim_gas_first_lower_bound": max(floors_first),
        "claim_gas_repeat_lower_bound": max(floors_repeat),
        "claim_many_gas_each_first": many_first,
        "claim_many_gas_each_repeat": many_repeat,
    }


def lower_bound(calldata: bytes, again: bool) -> int:
    """The least gas that a claim with this calldata can cost, as the module's text adds it up."""
    zeros = calldata.count(0)
    slot = 5_000 if again else 22_100
    bare = 21_000 + 4 * zeros + 16 * (len(calldata) - zeros)
    return bare + 2_100 + slot + 5_000 + 2_600 + 5_000 + slot + 4_200 + 1_756 + 1_381 + DEPTH * 42 + 48 + 36


class _Town:
    """A deployed network whose verifiers sign whatever they are told."""

    def __init__(self, chain: LocalChain, verifying: int = 3) -> None:
        self._chain = chain
        self._rpc = Rpc(chain.url)
        founder, verifiers = Account.random(), [Account.random() for _ in range(verifying)]
        for account in (founder, *verifiers):
            chain.fund(account.address, 10**24)
        self._plan = Plan(
            name="Bench",
            chain_id=CHAIN_ID,
            clock=CLOCK,
            token=TokenPlan("Subak", "SUBAK", 10**30, {"0x" + each.address.hex(): BOND for each in verifiers}),
            schedule=SchedulePlan(epochs_per_period=10, budget_per_epoch=(BUDGET,), burst=2 * BUDGET, refill_per_second=BUDGET),
            pools={"energy": 10_000},
            stake=StakePlan(minimum=BOND, unbonding_seconds=35 * DAY_S),
            sales=SalesPlan(allocation={"0x" + founder.address.hex(): VOUCHERS * LANE_LIMIT}),
            timelock_seconds=2 * DAY_S,
            genesis=Genesis(policy=Hash(b"\x01" * 32)),
        )
        self.founder = founder
        self.clerk = verifiers[0]
        self.contracts: Contracts = deploy(self._rpc, founder, self._plan)
        token, stake = (contract(self._rpc, self.contracts, name) for name in ("Token", "Stake"))
        self._verifiers = {each.address: each for each in verifiers}
        for each in verifiers:
            sender = Sender(self._rpc, each)
            sender.send(token, "approve", stake.address, BOND)
            sender.send(stake, "join", each.address, BOND)
        self._settlement = Settlement(self._rpc, self.contracts, Sender(self._rpc, founder))

    def finish(self, epoch: int, payouts: Payouts) -> None:
        """Open the epoch, propose its payouts with every signature, and make them final."""
        self.settle(epoch, payouts.tree.root, sum(payouts.rewards), len(self._verifiers))

    def settle(self, epoch: int, root: bytes, rewards: int, signers: int) -> tuple[int, int]:
        """Make a root final with so many signatures: gas of opening and of proposing."""
        self._go_to(CLOCK.close_unix_s(epoch))
        view = self._settlement.view()
        lead = self._settlement.lead(epoch + view.current_attempt)
        assert lead is not None
        book = Hash(bytes([epoch + 1]) * 32)
        by_lead = Settlement(self._rpc, self.contracts, Sender(self._rpc, self._verifiers[lead]))
        opened = by_lead.open(epoch, epoch, view.current_attempt, [book], view.block.number)
        message = EpochRoot(
            first=epoch,
            last=epoch,
            prev_root=view.root,
            root=root,
            prev_state_root=view.state_root,
            state_root=book,
            asset_root=book,
            verdicts_hash=book,
            rewards=rewards,
            fees=0,
            book_hashes=(book,),
            policy_hashes=(self._plan.genesis.policy,),
        )
        digest = self._vote(epoch, view.current_attempt, result_hash(message))
        self._go_to(self._settlement.view().sealed_unix_s)
        voting = list(self._verifiers.items())[:signers]
        proposed = self._settlement.propose(message, [(address, each.sign_digest(digest)) for address, each in voting])
        pending = self._settlement.view().pending
        assert pending is not None
        self._go_to(pending.deadline_unix_s)
        self._settlement.finalize(message)
        return opened.gas_used, proposed.gas_used

    def publish(self) -> None:
        """Write the panel of weights down."""
        Stake(self._rpc, self.contracts, Sender(self._rpc, self.founder)).publish()

    def convict(self, number: int) -> int:
        """Prove two votes of a verifier: gas."""
        signer = list(self._verifiers.values())[number]
        results = [bytes([number + 1, each]) * 16 for each in (1, 2)]
        votes: list[bytes] = []
        for result in results:
            signature = signer.sign_digest(self._vote(0, 0, result))
            votes += [result, signature[:32], signature[32:]]
        sender = Sender(self._rpc, self.founder)
        return sender.send(contract(self._rpc, self.contracts, "Challenges"), "slashEquivocation", 0, 0, 0, *votes).gas_used

    def _vote(self, first: int, attempt: int, result: bytes) -> bytes:
        return vote_digest(first, attempt, 0, result, CHAIN_ID, self.contracts.settlement)

    def claims(self, payouts: Payouts, rows: Sequence[int], again: bool = False) -> tuple[list[int], list[int]]:
        """Claim for each row alone: gas of each transaction, and the least it could be."""
        gas, floors = [], []
        for row in rows:
            leaf, proof = payouts.leaf(row), payouts.tree.proof(row)
            receipt = self._settlement.claim(*leaf, proof)
            assert self._settlement.taken(leaf[0]) == leaf[1:]
            gas.append(receipt.gas_used)
            floors.append(lower_bound(self._settlement.contract.abi.encode_call("claimRewards", *leaf, list(proof)), again))
        return gas, floors

    def claim_together(self, payouts: Payouts, rows: Sequence[int]) -> float:
        """Claim for all rows in one transaction: gas for each of them."""
        receipt = self._settlement.claim_many([payouts.leaf(row) for row in rows], payouts.tree.multiproof(rows))
        return receipt.gas_used / len(rows)

    def _go_to(self, unix_s: int) -> None:
        self._chain.run_from(unix_s)
        self._chain.freeze()


class _Street:
    """Fifty customers, each with one lane; one clerk countersigns for all."""

    def __init__(self, chain: LocalChain, town: _Town) -> None:
        rpc = Rpc(chain.url)
        self._clerk = town.clerk
        self._channels = Channels(rpc, town.contracts, Sender(rpc, town.founder))
        self._lanes: list[tuple[LaneFact, Account]] = []
        for _ in range(VOUCHERS):
            customer, session = Account.random(), Account.random()
            chain.fund(customer.address, 10**18)
            self._channels.deposit(customer.address, LANE_LIMIT)
            theirs = Channels(rpc, town.contracts, Sender(rpc, customer))
            self._lanes.append((theirs.open_lane(session.address, self._clerk.address, LANE_LIMIT, GENESIS_UNIX_S + 5 * DAY_S), session))

    def redeem(self, round_: int) -> float:
        """Redeem a new voucher of every lane in one transaction: gas for each of them."""
        dice = np.random.default_rng(round_)
        batch, hashes = [], []
        for lane, session in self._lanes:
            total, lines = int(LANE_LIMIT // 2 * round_ + dice.integers(1, LANE_LIMIT // 2)), dice.bytes(32)
            hashes.append(struct_hash(lane.id, round_ + 1, total, lines))
            signature = session.sign_digest(self._digest(hashes[-1]))
            batch.append(Redemption(lane, round_ + 1, total, lines, signature))
        countersigned = self._clerk.sign_digest(countersigned_digest(hashes, CHAIN_ID, self._channels.contract.address))
        receipt = self._channels.redeem_many(batch, countersigned)
        assert all(self._channels.lane_state(each.lane.id)[0] == each.total for each in batch)
        return receipt.gas_used / VOUCHERS

    def _digest(self, hashed: bytes) -> bytes:
        return struct_digest(hashed, CHAIN_ID, self._channels.contract.address)


def _council() -> dict[str, float]:
    """What a settlement and a proof cost with many verifiers: the dearest of several."""
    dice = np.random.default_rng(3)
    with tempfile.TemporaryDirectory(prefix="subak-bench-") as folder, LocalChain(Path(folder), _free_port(), GENESIS_UNIX_S, 1) as chain:
        town = _Town(chain, COUNCIL)
        # The first writes to fresh slots; the second is weighed one by one.
        unpublished = [town.settle(epoch, dice.bytes(32), (epoch + 1) * BUDGET - 1, QUORUM)[1] for epoch in range(2)]
        town.publish()
        steady = [town.settle(epoch, dice.bytes(32), (epoch + 1) * BUDGET - 1, QUORUM) for epoch in range(2, 6)]
        town.convict(0)
        proofs = [town.convict(number) for number in range(1, 5)]
    return {
        "open_gas": max(opened for opened, _ in steady),
        "settle_14_of_21_gas": max(proposed for _, proposed in steady),
        "settle_14_of_21_gas_unpublished": unpublished[-1],
        "equivocation_gas": max(proofs),
    }


def _payouts() -> tuple[Payouts, Payouts]:
    """Random accounts that earn in both epochs."""
    dice = np.random.default_rng(7)
    accounts = dice.integers(0, 256, (ACCOUNTS, 20), np.uint8)
    earned = [[1 + int(share * (MOST_PER_EPOCH - 1)) for share in dice.random(ACCOUNTS)] for _ in range(2)]
    totals = earned[0], [had + more for had, more in zip(*earned, strict=True)]
    one, two = (Payouts(accounts, total, Tree(standard_leaf_hashes(pack_words(accounts, total, [0] * ACCOUNTS)))) for total in totals)
    return one, two


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
