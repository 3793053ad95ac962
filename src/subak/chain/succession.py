"""How one Settlement follows another: what was announced, which one is served now, and the steps that anyone may take.

The budget's pointer decides which Settlement lives (docs/decisions/0021). Everything here is read from the chain; a file that names an
older Settlement is behind, never wrong about what became final there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from subak.chain.contracts import ChainRefused, Contract, Sender
from subak.chain.deploy import contract
from subak.chain.rpc import Rpc
from subak.chain.settlement import Settlement
from subak.core.nouns.document import Address
from subak.core.nouns.network import Contracts, Network

POINTERS = (("Channels", "settlement"), ("Stake", "challenges"), ("Minter", "settlement"))
"""Contracts with a pointer that a vote can move, and what it is called there. The budget's comes last: with it the new one lives."""
REMEDY = "run `subak network follow --network network.toml`, then start again"
_NOT_BEGUN = 2**32 - 1
_AROUND = {"challenges": "CHALLENGES", "stake": "WEIGHTS", "channels": "REVENUE", "timelock": "AUTHORITY"}
"""Whom a new Settlement may bring along, as ``Contracts`` and Settlement's bytecode call them. Token, payment asset and budget stay."""


class SuccessionRefused(RuntimeError):
    """Nothing can be taken over, or followed, as things are; the text says what disagrees and what to do."""


@dataclass(frozen=True)
class Pointer:
    """One pointer of the money contracts."""

    name: str
    """Solidity's name of the contract that has it."""
    now: Address
    """Whom it names."""
    announced: Address
    """Whom it will name; zero if nobody is announced."""
    replaceable_unix_s: int
    """Network time from which anyone can put that in force; it means nothing while nobody is announced."""


@dataclass(frozen=True)
class Standing:
    """How a network's pointers stand, all of them at one block."""

    unix_s: int
    """Network time of the block."""
    pointers: tuple[Pointer, ...]
    """Those that the network has; the budget's is the last."""

    @property
    def served(self) -> Address:
        """The Settlement that lives."""
        return self.pointers[-1].now

    @property
    def announced(self) -> Address:
        """The Settlement that is announced to the budget; zero for none."""
        return self.pointers[-1].announced

    @property
    def waits(self) -> tuple[Pointer, ...]:
        """Pointers that somebody is announced to."""
        return tuple(each for each in self.pointers if any(each.announced))

    @property
    def replaceable_unix_s(self) -> int:
        """Network time from which all that is announced can be put in force; 0 if nothing is."""
        return max((each.replaceable_unix_s for each in self.waits), default=0)


def standing(rpc: Rpc, contracts: Contracts) -> Standing:
    """Errors: ChainRefused, RpcError, RpcUnreachable; ValueError if there are no such contracts."""
    block = rpc.block("latest")
    found = (_pointer(rpc, contracts, name, current, block.number) for name, current in POINTERS)
    return Standing(block.timestamp, tuple(each for each in found if each is not None))


def served(rpc: Rpc, contracts: Contracts) -> Address:
    """The Settlement that the budget serves. Errors: as ``standing``."""
    return Address(contract(rpc, contracts, "Minter").call("settlement"))


def behind(rpc: Rpc, contracts: Contracts, remedy: str = REMEDY) -> str:
    """One line for who runs with the addresses of a Settlement that is served no more: what happened, what to do. Empty while it is served.

    Errors: as ``standing``.
    """
    now = served(rpc, contracts)
    if now == contracts.settlement:
        return ""
    return (
        f"a vote replaced the Settlement: {_hex(contracts.settlement)} makes nothing final any more, {_hex(now)} took over; what is final "
        f"stays claimable: {remedy}"
    )


def lineage(rpc: Rpc, contracts: Contracts) -> list[Contracts]:
    """The addresses that held under each Settlement, oldest first; the last is ``contracts``. Errors: as ``standing``."""
    found = [contracts]
    while any(before := contract(rpc, found[0], "Settlement").call("PREDECESSOR")):
        found.insert(0, under(rpc, found[0], before))
    return found


def under(rpc: Rpc, contracts: Contracts, settlement: bytes) -> Contracts:
    """The addresses that hold under this Settlement: it names those around it in its bytecode. Errors: as ``standing``."""
    moved = msgspec.structs.replace(contracts, settlement=Address(settlement))
    around = _tied(contract(rpc, moved, "Settlement"), tuple(_AROUND.values()))
    return msgspec.structs.replace(moved, **{field: Address(each) for field, each in zip(_AROUND, around, strict=True)})


def current(rpc: Rpc, network: Network) -> Network:
    """The network as the chain has it now: with the Settlement that is served, its Challenges and its clock, if it follows the one that
    ``network`` names and has begun; else ``network`` itself.

    Errors: SuccessionRefused if what is served does not follow it; those of ``standing``.
    """
    now = served(rpc, network.contracts)
    if now == network.contracts.settlement:
        return network
    moved = under(rpc, network.contracts, now)
    before = [each.settlement for each in lineage(rpc, moved)]
    if network.contracts.settlement not in before:
        if now in (each.settlement for each in lineage(rpc, network.contracts)):
            raise SuccessionRefused(
                f"{_hex(network.contracts.settlement)} has not taken over yet: the budget still serves {_hex(now)}; "
                "`subak network succeed` once its wait is over"
            )
        chain = " after ".join(_hex(each) for each in reversed(before))
        raise SuccessionRefused(
            f"the budget serves {chain}, and none of them is {_hex(network.contracts.settlement)}: is it the right file?"
        )
    if not has_begun(rpc, moved):
        return network
    return msgspec.structs.replace(network, contracts=moved, clock=Settlement(rpc, moved).clock())


def has_begun(rpc: Rpc, contracts: Contracts) -> bool:
    """Whether the Settlement took over from the one before; a network's first always did. Errors: as ``standing``."""
    return _next_epoch(rpc, contracts) != _NOT_BEGUN


def first_epoch(rpc: Rpc, contracts: Contracts) -> int:
    """The first epoch that is this Settlement's to make final, which began. Errors: as ``standing``."""
    settlement = contract(rpc, contracts, "Settlement")
    before = Address(settlement.call("PREDECESSOR"))
    return _next_epoch(rpc, msgspec.structs.replace(contracts, settlement=before)) if any(before) else 0


def folder_of(rpc: Rpc, contracts: Contracts) -> str:
    """Where to keep what is named by a Settlement's epochs and attempts, beside what other Settlements' were: a folder's name, empty for a
    network's first. Errors: as ``standing``."""
    return contracts.settlement.hex() if any(contract(rpc, contracts, "Settlement").call("PREDECESSOR")) else ""


def followed(rpc: Rpc, network: Network) -> Network:
    """``current``, for an operator's file: also every other pointer must have moved, so that nothing of what the file says is half true.

    Errors: SuccessionRefused naming the pointer, or the step that nobody took; those of ``standing``.
    """
    found = current(rpc, network)
    if found is network:
        now = served(rpc, network.contracts)
        if now != network.contracts.settlement:
            raise SuccessionRefused(f"{_hex(now)} is served and did not begin: `subak network succeed` first, which anyone may do")
        return network
    require_tied(rpc, network.contracts, found.contracts)
    for pointer in standing(rpc, found.contracts).pointers:
        if pointer.now != _wanted(pointer, found.contracts):
            raise SuccessionRefused(
                f"{pointer.name} still names {_hex(pointer.now)}, not {_hex(_wanted(pointer, found.contracts))}: "
                "`subak network succeed` first, which anyone may do"
            )
    return found


def succeed(rpc: Rpc, contracts: Contracts, sender: Sender, say: Callable[[str], None]) -> Contracts:
    """Carry out what was announced and waited: move every pointer, let the new Settlement begin, fetch what customers paid to the old one
    since. What somebody did already is passed over; ``say`` hears each step that is taken.

    Returns the addresses from then on. Errors: SuccessionRefused, before anything is sent, if there is nothing to do, the wait is not over,
    or what is announced does not fit together; those of ``Sender.send``.
    """
    stands = standing(rpc, contracts)
    next_ = stands.announced if any(stands.announced) else stands.served
    moved, serving = (under(rpc, contracts, each) for each in (next_, stands.served))
    stands = standing(rpc, moved)
    if not stands.waits and has_begun(rpc, moved) and not _left_behind(rpc, moved):
        raise SuccessionRefused(f"nothing is announced, and {_hex(next_)}, which is served, has begun: there is nothing to do")
    left = stands.replaceable_unix_s - stands.unix_s
    if left > 0:
        raise SuccessionRefused(f"{_hex(next_)} is announced and can take over in {-(-left // 3600)} hours of network time, not before")
    if next_ != stands.served:
        require_tied(rpc, serving, moved)
    for pointer in stands.waits:
        if pointer.announced != _wanted(pointer, moved):
            raise SuccessionRefused(
                f"{pointer.name} would name {_hex(pointer.announced)}, and with {_hex(next_)} belongs {_hex(_wanted(pointer, moved))}: "
                "members have to announce anew"
            )
    for pointer in stands.waits:
        sender.send(contract(rpc, contracts, pointer.name), "replace")
        say(f"{pointer.name} names {_hex(pointer.announced)} now")
    if not has_begun(rpc, moved):
        Settlement(rpc, moved, sender).begin()
        say(f"{_hex(next_)} goes on with epoch {first_epoch(rpc, moved)}")
    elif _left_behind(rpc, moved):
        sender.send(contract(rpc, moved, "Settlement"), "collect")
        say("what customers paid to the old one meanwhile was fetched")
    return moved


def _left_behind(rpc: Rpc, contracts: Contracts) -> int:
    """Payment units that were redeemed for the Settlement before this one, and neither became final there nor were handed over."""
    before = contract(rpc, contracts, "Settlement").call("PREDECESSOR")
    if not any(before):
        return 0
    old = under(rpc, contracts, before)
    asked = [("inherited", ()), ("handedOver", ()), ("finals", ())]
    inherited, handed_over, (_, _, _, fees, _) = contract(rpc, old, "Settlement").call_many(asked)
    redeemed = contract(rpc, old, "Channels").call("redeemed", before) if any(old.channels) else 0
    return int(inherited + redeemed - handed_over - fees)


def _pointer(rpc: Rpc, contracts: Contracts, name: str, current_: str, block: int) -> Pointer | None:
    """None where a network does without: no channels, or verifiers that an authority names."""
    holder = contract(rpc, contracts, name)
    if not any(holder.address):
        return None
    try:
        now = holder.call(current_, block=block)
    except ChainRefused:
        if name == "Minter":
            raise
        return None
    announced, since = holder.call_many([("announced", ()), ("replaceableAt", ())], block)
    return Pointer(name, Address(now), Address(announced), since)


def _wanted(pointer: Pointer, contracts: Contracts) -> Address:
    return contracts.challenges if pointer.name == "Stake" else contracts.settlement


def require_tied(rpc: Rpc, old: Contracts, new: Contracts) -> None:
    """The new Settlement follows the old one, with the same money. Errors: SuccessionRefused."""
    if old.settlement not in [each.settlement for each in lineage(rpc, new)[:-1]]:
        raise SuccessionRefused(f"{_hex(new.settlement)} does not take over from {_hex(old.settlement)}: members have to announce another")
    names = ("TOKEN", "PAYMENT", "BUDGET")
    mine, theirs = (_tied(contract(rpc, each, "Settlement"), names) for each in (old, new))
    for name, before, after in zip(names, mine, theirs, strict=True):
        if before != after:
            raise SuccessionRefused(f"the new Settlement has {_hex(after)} as its {name}, the one before {_hex(before)}: announce another")
    disputed = Address(contract(rpc, new, "Challenges").call("SETTLEMENT"))
    if disputed != new.settlement:
        raise SuccessionRefused(f"the new Challenges {_hex(new.challenges)} are about {_hex(disputed)}, not {_hex(new.settlement)}")


def _tied(settlement: Contract, names: Sequence[str]) -> list[bytes]:
    return settlement.call_many([(name, ()) for name in names])


def _next_epoch(rpc: Rpc, contracts: Contracts) -> int:
    *_, next_ = contract(rpc, contracts, "Settlement").call("finals")
    return int(next_)


def _hex(value: bytes) -> str:
    return "0x" + value.hex()
