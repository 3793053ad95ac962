"""What happens in a small town beside homes: disks, customers with lanes, a site, debts, raises, an asset in shares. A story told over six
epochs, of which 2 to 4 are settled at once; its numbers are whatever the settlement makes of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import polars as pl
from small_town import DISK_KIB, EPOCH_S, GENESIS_UNIX_S, HOUR_S, TASKS, Device, Spoken, Town, Wishes, account, build_town

from subak.archive.books import read_state
from subak.chain.accounts import Account
from subak.chain.channels import Channels, LaneFact, Redemption
from subak.chain.contracts import Sender
from subak.chain.deploy import SalesPlan, contract
from subak.chain.settlement import Settlement as SettlementContract
from subak.chain.shares import NO_ASSET, Milestone, Shares, SharesFactory, Terms
from subak.core.canon.entry import Value
from subak.core.canon.ids import draw_seed, site_id
from subak.core.canon.vouchers import Line, Voucher, countersigned_digest, lines_hash, voucher_digest, voucher_struct_hash
from subak.core.nouns import Address, Contents, Correction, Hash, State
from subak.core.nouns.book import LINES
from subak.core.settlement import OFFER, POSSESSION
from subak.core.settlement.money import to_ints
from subak.core.settlement.roots import asset_tree, payout_tree
from subak.kinds.storage.rules import tree
from subak.kinds.storage.rules.judge import leaf_of
from subak.kinds.storage.rules.schemas import ANSWER, SET

ANN, BOB, CID = (account(number) for number in (2001, 2002, 2003))
"""Customers; Cid only lends money to a raise."""
MASON, WIDOW = account(2004), account(2005)
"""Payees of the site."""
PURSE = 10**9
KWH, KIB = (120_000, 1_000), (1_000, 1_024)
"""Prices: payment units for so many units of work."""
SCRIPT = "<script>alert(1)</script>"
EVIL_ENDPOINT = f'http://x/">{SCRIPT}<img/src=x/onerror=alert(2)>'
EVIL_WHY = f"Its meter was read twice in May.{SCRIPT}"
EVIL_NAME = f"{SCRIPT}\N{RIGHT-TO-LEFT OVERRIDE}gnp"
POOL = Address(bytes(20))
RANGES = (1, 1, 3, 1)
"""Epochs that are settled at once."""


def corrections(homes: Sequence[Device]) -> tuple[Correction, ...]:
    """From epoch 2 on the first home owes a little of both currencies, the last one more than it will ever earn."""
    first, last = Hash(homes[0].asset), Hash(homes[-1].asset)
    return (
        Correction(2, first, "rewards", 5 * 10**18, POOL, EVIL_WHY),
        Correction(2, first, "fees", 50_000, ANN.address, "Ann was billed for a night."),
        Correction(3, last, "rewards", 10**30, MASON.address, "It stood in the neighbour's garden."),
    )


@dataclass
class Market:
    """The story's people and things."""

    town: Town
    lanes: dict[str, LaneFact] = field(default_factory=dict)
    owed: dict[str, dict[bytes, int]] = field(default_factory=dict)
    """Running money of each lane, by asset."""
    seqs: dict[str, int] = field(default_factory=dict)
    tables: dict[int, list[pl.DataFrame]] = field(default_factory=dict)
    """Lines that the Book of an epoch lists."""
    raised: dict[str, Shares] = field(default_factory=dict)
    seeds: dict[int, bytes] = field(default_factory=dict)

    @property
    def clerk(self) -> Account:
        return self.town.verifiers[0]

    @property
    def site(self) -> bytes:
        return site_id(self.home(1).owner.address, bytes(32))

    def home(self, number: int) -> Device:
        return next(each for each in (*self.town.homes, *self.town.disks) if each.number == number)

    def sender(self, who: Account) -> Sender:
        return Sender(self.town.rpc, who)

    def channels(self, who: Account) -> Channels:
        return Channels(self.town.rpc, self.town.network.contracts, self.sender(who))

    def key(self, name: str) -> Account:
        return Account(hashlib.sha256(name.encode()).digest())

    def open(self, name: str, who: Account, limit: int, days: int = 7) -> None:
        """A lane of this name."""
        expiry = self.town.rpc.block().timestamp + days * EPOCH_S
        self.lanes[name] = self.channels(who).open_lane(self.key(name).address, self.clerk.address, limit, expiry)
        self.owed[name], self.seqs[name] = {}, 0

    def redeem(self, name: str, more: dict[bytes, int], listed_in: int | None) -> None:
        """A voucher that owes so much more; its lines are listed in a Book, if that is said."""
        owed, lane, network = self.owed[name], self.lanes[name], self.town.network
        for asset, money in more.items():
            owed[asset] = owed.get(asset, 0) + money
        self.seqs[name] += 1
        lines = tuple(Line(asset, money) for asset, money in sorted(owed.items()))
        voucher = Voucher(lane.id, self.seqs[name], sum(owed.values()), lines)
        chain = (network.chain_id, network.contracts.channels)
        signature = self.key(name).sign_digest(voucher_digest(voucher, *chain))
        countersignature = self.clerk.sign_digest(countersigned_digest([voucher_struct_hash(voucher)], *chain))
        redemption = Redemption(lane, voucher.seq, voucher.total, lines_hash(lines), signature)
        self.channels(ANN).redeem_many([redemption], countersignature)
        if listed_in is not None:
            rows = [(bytes(lane.id), voucher.seq, line.asset, line.money) for line in lines]
            table = pl.DataFrame(rows, schema={**LINES, "money": pl.Int128}, orient="row").cast({"money": LINES["money"]})
            self.tables.setdefault(listed_in, []).append(table)

    def offer(self, home: Device, start: int, price: tuple[int, int], endpoint: bytes = b"", capacity: int = 4_000) -> Spoken:
        """An offer for 20 days."""
        row: list[Value] = [price[0], price[1], capacity, start + 20 * EPOCH_S, endpoint.ljust(128, b"\0")]
        return [self.town.say(home, OFFER, start, 0, [row])]

    @cached_property
    def kept(self) -> tuple[tree.SetTree, list[list[list[bytes]]], list[bytes]]:
        """What every disk keeps: two pieces that nobody could compress, as a set."""
        pieces = [hashlib.shake_256(b"piece %d" % number).digest(tree.PIECE_BYTES) for number in range(2)]
        levels = [tree.piece_levels(piece) for piece in pieces]
        return tree.SetTree([level[-1][0] for level in levels]), levels, pieces

    def answer(self, disk: Device, epoch: int, tasks: Iterable[int], wrong: int = -1, at: int | None = None) -> Spoken:
        """Answers to an epoch's tasks, one of them perhaps wrong; ``at`` another epoch if they come too late."""
        sets, levels, pieces = self.kept
        rows: list[list[Value]] = []
        for task in tasks:
            index = leaf_of(self.seeds[epoch], disk.asset, task, sets.pieces)
            slot, leaf = divmod(index, tree.PIECE_LEAVES)
            content = pieces[slot][leaf * tree.LEAF_BYTES : (leaf + 1) * tree.LEAF_BYTES]
            path = b"".join(sets.path_of(index, levels[slot])).ljust(1024, b"\0")
            rows.append([epoch, task, bytes(tree.LEAF_BYTES) if task == wrong else content, path])
        start = self.town.network.clock.first_unix_s(epoch if at is None else at) + HOUR_S
        return [self.town.say(disk, ANSWER, start, 1, rows)] if rows else []

    def state(self) -> State:
        """The last final one, from the archive."""
        return read_state(self.town.archive, self.town.state_root)

    def claim(self, who: bytes) -> None:
        """Everything that an account can take."""
        state = self.state()
        row = state.accounts["account"].to_list().index(who)
        rewards, fees = (to_ints(state.accounts[name])[row] for name in ("rewards", "fees"))
        settlement = SettlementContract(self.town.rpc, self.town.network.contracts, self.town.sender)
        taken, fees_taken = settlement.taken(who)
        proof = payout_tree(state).proof(row)
        if rewards > taken:
            settlement.claim(who, rewards, fees, proof)
        if fees > fees_taken:
            settlement.claim_fees(who, rewards, fees, proof)

    def release(self, shares: Shares, milestone: int, asset: bytes) -> None:
        """Pay the builder, proven by the last final state."""
        state = self.state()
        row = state.assets["asset"].to_list().index(asset)
        columns = (state.assets["units"].to_list(), *(to_ints(state.assets[name]) for name in ("rewards", "fees")))
        leaf = (columns[0][row], columns[1][row], columns[2][row], state.assets["paid_epochs"][row])
        shares.release(milestone, leaf, asset_tree(state).proof(row))

    def terms(self, name: str, builder: Account, soft: int, hard: int, milestones: Sequence[Milestone]) -> Terms:
        end = GENESIS_UNIX_S + EPOCH_S
        return Terms(name, "ROOF", builder.address, soft, hard, end, end + 30 * EPOCH_S, (), tuple(milestones))


def open_market(folder: Path) -> Market:
    """The whole story: six homes, two disks, customers who pay in a stablecoin. Stop ``town.chain`` afterwards."""
    purses = {"0x" + each.address.hex(): PURSE for each in (ANN, BOB, CID)}
    wishes = Wishes(disks=2, sales=SalesPlan(allocation=purses, share_bps=1_001), corrections=corrections)
    town = build_town(folder, (1, 2, 3, 4, 5, 6), wishes)
    market = Market(town)
    town.more = lambda contents: _said(market, contents)
    town.lines = lambda epoch: market.tables.get(epoch, ())
    town.lives = lambda epoch: _lived(market, epoch)
    try:
        for count in RANGES:
            town.close_epochs(count)
    except BaseException:
        town.chain.stop()
        raise
    _afterwards(market)
    return market


def open_burning(folder: Path) -> Market:
    """Two homes whose neighbour Ann pays in the network's own token: a fifth is burned, of which half comes back as usage rewards. Epochs 0
    and 1, then 2 and 3 settled at once. Stop ``town.chain`` afterwards."""
    sales = SalesPlan(asset="token", share_bps=2_000, stake_units=1)
    town = build_town(folder, (1, 4), Wishes(sales=sales, tokens={"0x" + ANN.address.hex(): 10**20}, usage_k_bps=5_000))
    market = Market(town)
    home = market.home(1)

    def said(contents: Contents) -> Spoken:
        return market.offer(home, contents.first_unix_s, (10**18, 1_000)) if contents.epoch == 0 else ()

    def lived(epoch: int) -> None:
        if epoch == 0:
            town.chain.fund(ANN.address, 10**21)
            market.channels(ANN).deposit(ANN.address, 9 * 10**19)
        elif epoch == 1:
            market.open("ann", ANN, 8 * 10**19)
        if epoch in (1, 2, 3):
            market.redeem("ann", {home.asset: 10**18 + epoch}, epoch)

    town.more, town.lives = said, lived
    town.lines = lambda epoch: market.tables.get(epoch, ())
    try:
        for count in (1, 1, 2):
            town.close_epochs(count)
    except BaseException:
        town.chain.stop()
        raise
    return market


def _said(market: Market, contents: Contents) -> Spoken:
    """Offers, sets and answers of an epoch."""
    epoch, start = contents.epoch, contents.first_unix_s
    first, second = market.town.disks
    market.seeds[epoch] = draw_seed(contents.previous, contents.beacon)
    if epoch == 0:
        sets = market.kept[0]
        for disk in (first, second):
            yield market.town.say(disk, POSSESSION, start, 0, [[bytes(disk.owner.address)]])
            yield market.town.say(disk, SET, start, 0, [[sets.root, sets.pieces]])
            yield from market.offer(disk, start, KIB, b"http://disk.example:8080", DISK_KIB)
        yield from market.offer(market.home(1), start, KWH, EVIL_ENDPOINT.encode())
        yield from _forged_offer(market, start)
        yield from market.offer(market.home(2), start, KWH, b"\xff\x07not text")
        yield from market.offer(market.home(5), start, KWH)
    elif epoch == 1:
        yield from market.answer(first, 1, range(TASKS))
    elif epoch == 2:
        yield from market.answer(first, 2, range(TASKS), wrong=3)
        yield from market.answer(second, 2, range(TASKS - 2))
        yield from market.answer(first, 1, [0, 1], at=2)
        yield from market.offer(market.home(5), start, KWH, capacity=0)
    elif epoch == 5:
        yield from market.answer(first, 5, range(TASKS))
        yield from market.answer(second, 5, range(TASKS))


def _forged_offer(market: Market, start: int) -> Spoken:
    """A thief's offer in the second home's name, listed before its own of the same sequence."""
    row: list[Value] = [1, 1, 4_000, start + 20 * EPOCH_S, b"http://thief.example".ljust(128, b"\0")]
    town = market.town
    yield OFFER, town.signed(market.home(2), OFFER, town.plain + 1, start, 0, [row])._replace(signature=bytes(64))


def _lived(market: Market, epoch: int) -> None:
    contracts = market.town.network.contracts
    assets = contract(market.town.rpc, contracts, "Assets")
    if epoch == 0:
        _begin(market)
    elif epoch == 1:
        for name, who, limit in (("ann", ANN, 200_000_000), ("spare", ANN, 3_000_000), ("bob", BOB, 90_000_000)):
            market.open(name, who, limit)
        market.redeem("ann", {market.home(1).asset: 500_000, market.home(2).asset: 300_001}, 1)
        roof = market.raised["roof"]
        roof.release(0, (0, 0, 0, 0), [])
        owner, asset = market.home(2).owner.address, int.from_bytes(market.home(2).asset, "big")
        market.sender(market.home(2).owner).send(assets, "transferFrom", owner, roof.contract.address, asset)
    elif epoch == 2:
        market.redeem("bob", {market.home(1).asset: 100_003, market.home(101).asset: 7_000}, 2)
        market.channels(ANN).revoke(market.lanes["spare"])
        market.raised["barn"].refund(CID.address)
    elif epoch == 3:
        market.redeem("ann", {market.home(1).asset: 400_000, market.home(2).asset: 1}, 3)
    elif epoch == 4:
        market.redeem("bob", {market.home(1).asset: 1, market.home(5).asset: 10**7}, 4)
        market.redeem("spare", {market.home(1).asset: 5}, 4)
    elif epoch == 5:
        market.redeem("ann", {market.home(2).asset: 600_000, market.home(101).asset: 11}, 5)
        roof = market.raised["roof"]
        market.claim(roof.contract.address)
        market.release(roof, 1, market.home(2).asset)
        roof.sync()
        roof.transfer(BOB.address, 1_000_000)
        roof.withdraw(CID.address, contracts.token)


def _begin(market: Market) -> None:
    """Before genesis: purses are filled, a site has its payees, raises begin."""
    town = market.town
    contracts = town.network.contracts
    people = (ANN, BOB, CID, market.home(1).owner, market.home(2).owner)
    for each in people:
        town.chain.fund(each.address, 10**21)
    market.channels(ANN).deposit(ANN.address, 300_000_000)
    market.channels(BOB).deposit(BOB.address, 100_000_000)
    market.channels(BOB).withdraw(1_000_000)
    assets, owner = contract(town.rpc, contracts, "Assets"), market.home(1).owner
    mine = market.sender(owner)
    mine.send(assets, "registerSite", owner.address, bytes(32), 0x8729A004BFFFFFF)
    mine.send(assets, "setPayees", market.site, [_padded(MASON.address), _padded(WIDOW.address)], [2, 1])
    mine.send(assets, "setPayees", market.home(1).asset, [market.site, _padded(owner.address)], [3, 1])

    asset = Hash(market.home(2).asset)
    milestones = [Milestone(NO_ASSET, 1_000, 0, 0), Milestone(asset, 6_000, 1_000, 1), Milestone(asset, 3_000, 10**12, 500)]
    builder = market.home(2).owner
    factory = SharesFactory(town.rpc, contracts, market.sender(builder))
    market.raised["roof"] = factory.create(market.terms("Roof of the school", builder, 1_000_000, 9_000_001, milestones))
    market.raised["barn"] = factory.create(market.terms(EVIL_NAME, builder, 5_000_000, 6_000_000, milestones))
    _raise_without_letters(market, builder, milestones)
    for who, name, amount in ((CID, "roof", 5_000_001), (BOB, "roof", 9_000_000), (CID, "barn", 70)):
        Shares(town.rpc, contracts, market.raised[name].contract.address, market.sender(who)).contribute(amount)
    for name, shares in market.raised.items():
        market.raised[name] = Shares(town.rpc, contracts, shares.contract.address, market.sender(CID))


def _raise_without_letters(market: Market, builder: Account, milestones: Sequence[Milestone]) -> None:
    """A name that is no text: bytes that UTF-8 does not have."""
    factory = contract(market.town.rpc, market.town.network.contracts, "SharesFactory")
    data = factory.abi.encode_call("create", market.terms("ZZZZZZZZ", builder, 1, 2, milestones).struct, bytes(32))
    sender = market.sender(builder)
    sender.wait(sender.submit_raw("create", factory.address, data.replace(b"ZZZZZZZZ", b"\xff" * 8)))


def _afterwards(market: Market) -> None:
    """On the chain after the last final epoch: what pages show beside it."""
    market.redeem("ann", {market.home(1).asset: 9}, None)


def _padded(address: bytes) -> bytes:
    return bytes(12) + address
