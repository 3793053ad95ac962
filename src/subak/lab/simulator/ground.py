"""What every run begins with: the contracts deployed, verifiers bonded, homes registered. Made once a process, then only rewound."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256

import polars as pl

from subak.archive.store import Archive, content_hash
from subak.archive.tables import write_limit_table
from subak.chain.accounts import Account
from subak.chain.attestations import Attestations
from subak.chain.contracts import Contract, Sender
from subak.chain.deploy import Genesis, Plan, SalesPlan, SchedulePlan, StakePlan, TokenPlan, contract, deploy, word_of
from subak.core.canon import ed25519
from subak.core.canon.entry import Value, pack
from subak.core.canon.ids import ED25519, asset_id, signer_id
from subak.core.canon.json import encode
from subak.core.kind import Schema
from subak.core.nouns import Bootstrap, Clock, Hash, KindPolicy, Network, Policy
from subak.core.settlement import OFFER, POSSESSION
from subak.core.settlement.money import INSTALLED
from subak.kinds.energy.rules.schemas import CLEAR_SKY, PARAMETERS, READING
from subak.kinds.registry import installed, rules_hash
from subak.lab.recording import CELL, june_2017
from subak.lab.recording import CLEAR_SKY as CLEAR_SKY_FILE
from subak.lab.simulator.evm import MemoryChain

CHAIN_ID = 31_337
HOUR_S, DAY_S = 3_600, 86_400
UNIT = 10**18
BOND = 1_000 * UNIT
LEAST_BOND = BOND * 3 // 4
"""Who is fined a little can go on."""
BUDGET = 1_000 * UNIT
"""Of one epoch."""
POOLS_BPS = {"energy": 9_500, "verifiers": 500}
VERIFIERS_BUDGET = BUDGET * POOLS_BPS["verifiers"] // 10_000
"""What all verifiers together can earn in an epoch."""
PURSE = 20 * BOND
"""What every verifier's owner has beside its bond, and the watcher, for challenges."""
LANE_LIMIT = 2 * 10**8
"""Payment units of a lane; a clerk's stake covers more."""
CUSTOMER_MONEY = 10 * LANE_LIMIT
PRICE = 100
"""Payment units that a home asks for a watt-hour."""
HOMES = (1, 2, 3)
"""Which recorded homes take part."""
ENTRY_HOURS = 6
"""A home signs an Entry for so many hours."""
CLOCK_TIMES = {
    "epoch_seconds": DAY_S,
    "grace_seconds": HOUR_S,
    "attempt_seconds": 4 * HOUR_S,
    "challenge_seconds": 6 * HOUR_S,
    "seal_seconds": HOUR_S,
    "reconfirm_seconds": 6 * HOUR_S,
    "governance_seconds": 14 * DAY_S,
}
UNBONDING_SECONDS = 35 * DAY_S


@dataclass(frozen=True)
class Home:
    """A recorded home with its keys."""

    number: int
    """Which of the recording's."""
    owner: Account
    """Who earns."""
    seed: bytes
    """The device's Ed25519 seed."""

    @property
    def key(self) -> bytes:
        return ed25519.public_key(self.seed)

    @property
    def asset(self) -> bytes:
        return asset_id(ED25519, self.key, self.owner.address)

    def possession(self, network: bytes, genesis_unix_s: int) -> bytes:
        """What it signs first: that it belongs to its owner."""
        return self._signed(network, POSSESSION, 0, genesis_unix_s, 0, [[bytes(self.owner.address)]])

    def offer(self, network: bytes, genesis_unix_s: int) -> bytes:
        """What its work costs."""
        row: list[Value] = [PRICE, 1, 10**6, genesis_unix_s + 365 * DAY_S, b"".ljust(128, b"\0")]
        return self._signed(network, OFFER, 1, genesis_unix_s, 0, [row])

    def reading(self, network: bytes, start_unix_s: int) -> bytes:
        """Its counters at the end of each of the hours from ``start_unix_s`` on."""
        rows = []
        for hour in range(1, ENTRY_HOURS + 1):
            counters = june_2017().counters_at(self.number, start_unix_s + hour * HOUR_S, None)
            rows.append([counters.export_wh, counters.import_wh, counters.generation_wh])
        return self._signed(network, READING, start_unix_s // HOUR_S, start_unix_s, HOUR_S, rows)

    def _signed(self, network: bytes, schema: Schema, sequence: int, start: int, interval: int, rows: Sequence[Sequence[Value]]) -> bytes:
        signed = pack(
            network=network,
            schema=schema,
            subject=self.asset,
            signer=signer_id(ED25519, self.key),
            sequence=sequence,
            start_unix_s=start,
            interval_seconds=interval,
            rows=rows,
        )
        return signed + ed25519.sign(self.seed, signed)


@dataclass(frozen=True)
class Ground:
    """A deployed network, before its first epoch."""

    chain: MemoryChain
    """Its chain."""
    network: Network
    """Where its contracts are."""
    founder: Account
    """Who deployed it; has no power left."""
    owners: tuple[Account, ...]
    """Whose stake stands behind each verifier."""
    signers: tuple[Account, ...]
    """What each verifier signs with."""
    member: Account
    """Who holds nearly all other tokens, and votes."""
    watcher: Account
    """Who has no stake, and doubts what differs."""
    customer: Account
    """Who buys."""
    homes: tuple[Home, ...]
    """Who earns."""
    documents: dict[str, bytes]
    """The policy and its tables, by name in an archive."""

    def contract(self, name: str) -> Contract:
        return contract(self.chain, self.network.contracts, name)


@cache
def ground(verifiers: int) -> Ground:
    """A network with so many equal verifiers."""
    begin = june_2017().first_unix_s
    chain = MemoryChain(CHAIN_ID, begin - 4 * HOUR_S)
    founder = account("founder", 0)
    owners = tuple(account("owner", number) for number in range(verifiers))
    signers = tuple(account("signer", number) for number in range(verifiers))
    homes = tuple(Home(number, account("home", number), sha256(struct.pack(">5sI", b"meter", number)).digest()) for number in HOMES)
    documents, policy = _documents()
    member = account("member", 0)
    watcher, customer = account("watcher", 0), account("customer", 0)
    allocation = {"0x" + each.address.hex(): PURSE + BOND for each in owners} | {"0x" + member.address.hex(): 10**6 * UNIT}
    allocation |= {"0x" + watcher.address.hex(): PURSE}
    plan = Plan(
        name="simulated",
        chain_id=CHAIN_ID,
        clock=Clock(genesis_unix_s=begin, **CLOCK_TIMES),
        token=TokenPlan("Subak", "SUBAK", 10**8 * UNIT, allocation),
        schedule=SchedulePlan(365, (BUDGET,), 40 * BUDGET, BUDGET // HOUR_S),
        pools=POOLS_BPS,
        stake=StakePlan(LEAST_BOND, UNBONDING_SECONDS),
        sales=SalesPlan(allocation={"0x" + customer.address.hex(): CUSTOMER_MONEY}),
        issuers={INSTALLED: ["0x" + founder.address.hex()]},
        timelock_seconds=2 * DAY_S,
        genesis=Genesis(policy=Hash(policy)),
    )
    contracts = deploy(chain, founder, plan)
    network = Network(plan.name, plan.chain_id, plan.clock, contracts, speed=1)
    made = Ground(chain, network, founder, owners, signers, member, watcher, customer, homes, documents)
    sender = Sender(chain, founder)
    for owner, signer in zip(owners, signers, strict=True):
        mine = Sender(chain, owner)
        mine.send(made.contract("Token"), "approve", contracts.stake, BOND)
        mine.send(made.contract("Stake"), "join", signer.address, BOND)
    Sender(chain, member).send(made.contract("Token"), "delegate", member.address)
    rated = [june_2017().rated_w(home.number) for home in homes]
    rows = [(home.owner.address, ED25519, home.key, word_of("energy"), CELL, watts) for home, watts in zip(homes, rated, strict=True)]
    sender.send(made.contract("Assets"), "registerMany", rows)
    issuer = Attestations(chain, contracts, sender)
    for home in homes:
        issuer.attest(home.asset, INSTALLED, begin + 365 * DAY_S)
    chain.settle_down()
    return made


class _Keeping:
    """An archive that keeps what is put into it."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def get(self, path: str) -> bytes:
        return self.files[path]

    def put(self, path: str, data: bytes, replace: bool = False) -> None:
        self.files[path] = data

    def has(self, path: str) -> bool:
        return path in self.files

    def names(self, prefix: str = "") -> list[str]:
        return sorted(name for name in self.files if name.startswith(prefix))


def _documents() -> tuple[dict[str, bytes], bytes]:
    keeping = _Keeping()
    archive: Archive = keeping
    energy = installed()["energy"].rules
    table = write_limit_table(archive, pl.read_parquet(CLEAR_SKY_FILE))
    policy = encode(
        Policy(
            version=1,
            late_epochs=7,
            kinds={"energy": KindPolicy(energy.version, Hash(rules_hash(energy)), dict(PARAMETERS), {CLEAR_SKY: Hash(table)})},
            bootstrap=Bootstrap(escrow_epochs=0),
        )
    )
    archive.put(f"policy/{content_hash(policy).hex()}.json", policy)
    return keeping.files, content_hash(policy)


def account(name: str, number: int) -> Account:
    """Somebody's keys, by what they are and which one."""
    return Account(sha256(f"simulated {name} {number}".encode()).digest())
