"""What a customer does with money: a wallet, the channel, lanes, bills, and the loop that buys."""

from __future__ import annotations

import csv
import io
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
import msgspec

from subak.chain.channels import Erc20, LaneFact
from subak.chain.clock import NetworkClock
from subak.chain.contracts import Contract, Sender
from subak.chain.network_file import load_network
from subak.chain.rpc import Rpc
from subak.cli.logs import log_to_stderr
from subak.cli.succeeding import KeepingUp
from subak.cli.units import DAY_S, Currencies, address, coin, currencies, hexed, short, table, tell, when
from subak.core.nouns import Address, Network
from subak.customer.billing import Bill
from subak.customer.loop import CustomerLoop, Look
from subak.customer.paying import ClerkUnreachable
from subak.customer.returns import Returns, returns, revoke_all, take_back
from subak.customer.store import KeptLane
from subak.customer.wallet import Wallet

log = logging.getLogger("subak.customer")

BILL_COLUMNS = ("epoch", "day", "kind", "asset", "units", "price", "per_units", "money", "paid", "currency")
_TIMEOUT_S = 5.0
_EXACT_INT = 1 << 63


class CannotBuy(ValueError):
    """Something that a customer asked for and cannot have as things are; the text says why and what to do."""


@dataclass(frozen=True)
class Clerk:
    """A verifier that can countersign."""

    url: str
    """Where it listens; empty if only its account is known."""
    address: bytes
    """Its signer's account."""
    room: int
    """Payment units of lanes that its stake can still stand behind."""


@dataclass(frozen=True)
class Paid:
    """A line of a bill, and what a clerk countersigned of it."""

    epoch: int
    """The epoch."""
    kind: str
    """What was bought …"""
    asset: bytes
    """… of whom."""
    units: int
    """How much, in the kind's first unit."""
    price: int
    """Payment units …"""
    per_units: int
    """… for so many units."""
    money: int
    """Payment units owed."""
    paid: int
    """Payment units of them that a countersigned voucher covers: its host can have them."""


@contextmanager
def opened(folder: Path, network_file: Path) -> Iterator[Wallet]:
    """The wallet in a folder. Errors: CannotBuy if there is none, and those of ``Wallet``."""
    network = load_network(network_file)
    if not (folder / "account.key").exists():
        raise CannotBuy(f"there is no wallet in {folder}: make one with `subak wallet create`, or name its folder with --wallet")
    wallet = Wallet(folder, network, Rpc(network.nodes.rpc))
    try:
        yield wallet
    finally:
        wallet.close()


def run_wallet_create(network_file: Path, folder: Path, json: bool) -> int:
    """A new account."""
    network = load_network(network_file)
    if (folder / "account.key").exists():
        raise CannotBuy(f"{folder} holds a wallet already: `subak wallet show` tells of it, and --wallet names another folder")
    rpc = Rpc(network.nodes.rpc)
    wallet = Wallet(folder, network, rpc)
    wallet.close()
    written = currencies(rpc, network)
    account = hexed(wallet.account.address)
    words = f"made the account {account} in {folder}; keep a copy of the folder\nsend it {written.payment.symbol} to spend, and some "
    tell(json, {"account": account, "folder": str(folder)}, words + "of the chain's own coin for gas; then `subak channel deposit`")
    return 0


def run_wallet_show(network_file: Path, folder: Path, json: bool) -> int:
    """What the account has, and what of it lanes hold."""
    with opened(folder, network_file) as wallet:
        rpc = wallet.channels.contract.rpc
        written = currencies(rpc, wallet.network)
        wallet.sync()
        held = returns(rpc, wallet.network.contracts, wallet.account.address)
        tokens = Erc20(rpc, wallet.network.contracts.token).balance(held.account)
        wei = rpc.balance(held.account)
        lanes = [_lane_told(wallet, each, held.unix_s, written) for each in wallet.store.lanes() if not each.closed]
        told = {
            "account": hexed(held.account),
            "folder": str(folder),
            "payment": written.payment.told(held.balance),
            "token": written.token.told(tokens),
            "free": written.payment.told(held.free),
            "coin_wei": str(wei),
            "lanes": lanes,
        }
        words = [f"{hexed(held.account)} in {folder}", f"  holds      {written.payment.words(held.balance)}"]
        if wallet.network.contracts.token != wallet.network.contracts.payment:
            words.append(f"             {written.token.words(tokens)}")
        words += [f"             {coin(wei)} of the chain's own coin, for gas", f"  in channel {written.payment.words(held.free)} free"]
        words += [f"  lane       {_lane_words(each)}" for each in lanes] or ["             no lane is open"]
        tell(json, told, "\n".join(words))
    return 0


def run_channel_deposit(network_file: Path, folder: Path, amount: str, json: bool) -> int:
    """Prepay."""
    with opened(folder, network_file) as wallet:
        payment = currencies(wallet.channels.contract.rpc, wallet.network).payment
        money, balance = payment.parse(amount, "the amount"), wallet.balance()
        if not money:
            raise CannotBuy(f"a deposit of {payment.words(0)} changes nothing: name more")
        if balance < money:
            who = hexed(wallet.account.address)
            raise CannotBuy(f"{who} holds {payment.words(balance)}, and {payment.words(money)} are to be paid in: send it some first")
        wallet.top_up(money)
        free = wallet.free()
        told = {"deposited": payment.told(money), "free": payment.told(free)}
        tell(json, told, f"paid in {payment.words(money)}; {payment.words(free)} of the channel are free")
    return 0


def run_channel_withdraw(network_file: Path, folder: Path, amount: str, json: bool) -> int:
    """Take free money back; without an amount all, and close what can be closed for it."""
    with opened(folder, network_file) as wallet:
        rpc, contracts = wallet.channels.contract.rpc, wallet.network.contracts
        payment = currencies(rpc, wallet.network).payment
        if amount:
            money, free = payment.parse(amount, "the amount"), wallet.free()
            if money > free:
                words = f"{payment.words(free)} of the channel are free, not {payment.words(money)}"
                raise CannotBuy(f"{words}: revoke lanes, and their rest is free when they close")
            wallet.withdraw(money)
        else:
            money = take_back(rpc, contracts, _sender(wallet))
            wallet.sync()
        left = returns(rpc, contracts, wallet.account.address)
        told = {
            "withdrawn": payment.told(money),
            "free": payment.told(left.free),
            "in_lanes": payment.told(left.now - left.free + left.later),
        }
        tell(json, told, f"took {payment.words(money)} back to {hexed(wallet.account.address)}{_still(left, payment.words)}")
    return 0


def run_channel_show(network_file: Path, folder: Path, json: bool) -> int:
    """What of the prepaid money is free, and when the rest will be."""
    with opened(folder, network_file) as wallet:
        rpc = wallet.channels.contract.rpc
        payment = currencies(rpc, wallet.network).payment
        held = returns(rpc, wallet.network.contracts, wallet.account.address)
        told = {
            "account": hexed(held.account),
            "free": payment.told(held.free),
            "now": payment.told(held.now),
            "later": payment.told(held.later),
            "close_delay_seconds": wallet.channels.close_delay_seconds(),
            "lanes": [
                {
                    "lane": hexed(each.lane.id),
                    "unspent": payment.told(each.unspent),
                    "closes_at_unix_s": each.lane.closes_at_unix_s,
                    "closable": each.closable,
                }
                for each in held.lanes
            ],
        }
        words = [f"{hexed(held.account)} can take back {payment.words(held.now)} now{_still(held, payment.words)}"]
        words += [f"  {hexed(each.lane.id)} holds {payment.words(each.unspent)} {_until(each.closable, each.lane)}" for each in held.lanes]
        tell(json, told, "\n".join(words))
    return 0


def run_lane_open(network_file: Path, folder: Path, limit: str, clerk: str, days: int, json: bool) -> int:
    """Set money aside for vouchers that one verifier countersigns."""
    with opened(folder, network_file) as wallet:
        rpc = wallet.channels.contract.rpc
        payment = currencies(rpc, wallet.network).payment
        money, free = payment.parse(limit, "the limit"), wallet.free()
        if not money:
            raise CannotBuy(f"a lane of {payment.words(0)} can pay nothing: name a limit")
        if money > free:
            lacking = payment.plain(money - free)
            raise CannotBuy(f"{payment.words(free)} of the channel are free, not {payment.words(money)}: `subak channel deposit {lacking}`")
        chosen = choose_clerk(wallet.network, rpc, clerk, money, payment.words)
        now = rpc.block("latest").timestamp
        latest = wallet.channels.latest_expiry(now)
        fact = wallet.open_lane(chosen.address, money, min(now + days * DAY_S, latest) if days else latest, chosen.url)
        told = {
            "lane": hexed(fact.id),
            "clerk": hexed(fact.clerk),
            "clerk_url": chosen.url,
            "limit": payment.told(fact.limit),
            "expiry_unix_s": fact.expiry_unix_s,
            "closes_at_unix_s": fact.closes_at_unix_s,
        }
        where = f" at {chosen.url}" if chosen.url else ""
        words = (
            f"opened {hexed(fact.id)}\n  {payment.words(fact.limit)} until {when(fact.expiry_unix_s)}, countersigned by {hexed(fact.clerk)}"
        )
        tell(json, told, words + where)
    return 0


def run_lane_revoke(network_file: Path, folder: Path, lane: str, every: bool, json: bool) -> int:
    """Let a lane close a close delay from now, or all of them."""
    if bool(lane) == every:
        raise CannotBuy("name one lane, or all of them with --all")
    with opened(folder, network_file) as wallet:
        rpc = wallet.channels.contract.rpc
        if every:
            revoked = revoke_all(rpc, wallet.network.contracts, _sender(wallet))
            wallet.sync()
        else:
            kept = lane_of(wallet, lane)
            wallet.revoke(kept.fact.id)
            revoked = [kept.fact]
        closing = [(each, wallet.channels.lane_state(each.id)[1]) for each in revoked]
        words = [f"revoked {hexed(each.id)}: what it does not spend is free at {when(closes)}" for each, closes in closing]
        told = [{"lane": hexed(each.id), "closes_at_unix_s": closes} for each, closes in closing]
        tell(json, {"revoked": told}, "\n".join(words) or "every lane closes soon enough as it is")
    return 0


def run_lane_close(network_file: Path, folder: Path, lane: str, json: bool) -> int:
    """Have back what lanes did not spend, of those whose time has come."""
    with opened(folder, network_file) as wallet:
        payment = currencies(wallet.channels.contract.rpc, wallet.network).payment
        wallet.sync()
        if lane:
            kept = lane_of(wallet, lane)
            _, closes_at, over = wallet.channels.lane_state(kept.fact.id)
            now = wallet.channels.contract.rpc.block("latest").timestamp
            if not over and now < closes_at:
                raise CannotBuy(
                    f"lane {hexed(kept.fact.id)} can be closed from {when(closes_at)} on, and it is {when(now)}: revoke it or wait"
                )
        closed = wallet.close_what_can_be_closed()
        told = {"closed": [hexed(each.fact.id) for each in closed], "free": payment.told(wallet.free())}
        words = [f"closed {hexed(each.fact.id)}" for each in closed] or ["no lane can be closed now"]
        tell(json, told, "\n".join([*words, f"{payment.words(wallet.free())} of the channel are free"]))
    return 0


def run_lane_list(network_file: Path, folder: Path, every: bool, json: bool) -> int:
    """The wallet's lanes."""
    with opened(folder, network_file) as wallet:
        rpc = wallet.channels.contract.rpc
        written = currencies(rpc, wallet.network)
        wallet.sync()
        now = rpc.block("latest").timestamp
        lanes = [_lane_told(wallet, each, now, written) for each in wallet.store.lanes() if every or not each.closed]
        tell(json, {"lanes": lanes}, "\n".join(_lane_words(each) for each in lanes) or "no lane is open: `subak lane open`")
    return 0


def run_bill(network_file: Path, folder: Path, first: int, last: int, as_csv: bool, json: bool) -> int:
    """What was bought, epoch by epoch, and what was paid."""
    with opened(folder, network_file) as wallet:
        payment = currencies(wallet.channels.contract.rpc, wallet.network).payment
        covered: dict[bytes, int] = {}
        for lane in wallet.store.lanes():
            newest = wallet.store.countersigned(lane.fact.id)
            for line in newest.voucher.lines if newest else ():
                covered[line.asset] = covered.get(line.asset, 0) + line.money
        end = last if last >= 0 else _EXACT_INT - 1
        lines = [each for each in paid_lines(wallet.store.bills(), covered) if first <= each.epoch <= end]
        missed = wallet.store.bills(first, end).unbilled
        clock = wallet.network.clock
    money, paid = sum(each.money for each in lines), sum(each.paid for each in lines)
    if as_csv:
        out = io.StringIO()
        rows = csv.writer(out, lineterminator="\n")
        rows.writerow(BILL_COLUMNS)
        for each in lines:
            day = when(clock.first_unix_s(each.epoch))[:10]
            amounts = (payment.plain(each.price), each.per_units, payment.plain(each.money), payment.plain(each.paid), payment.symbol)
            rows.writerow((each.epoch, day, each.kind, hexed(each.asset), each.units, *amounts))
        tell(False, None, out.getvalue().rstrip("\n"))
        return 0
    told = {
        "lines": [
            {
                "epoch": each.epoch,
                "kind": each.kind,
                "asset": hexed(each.asset),
                "units": each.units,
                "price": payment.told(each.price),
                "per_units": each.per_units,
                "money": payment.told(each.money),
                "paid": payment.told(each.paid),
            }
            for each in lines
        ],
        "unbilled": [each.as_dict() for each in missed],
        "money": payment.told(money),
        "paid": payment.told(paid),
        "open": payment.told(money - paid),
    }
    columns = [
        (str(each.epoch), each.kind, short(each.asset), f"{each.units:,}", payment.plain(each.money), payment.plain(each.paid))
        for each in lines
    ]
    words = [table(("epoch", "kind", "asset", "units", payment.symbol, "paid"), columns, frozenset({0, 3, 4, 5}))] if lines else []
    words += [f"epoch {each.epoch}, {each.kind} of {short(each.asset)}: not bought, {each.why}" for each in missed]
    words.append(f"{payment.words(money)} in all, {payment.words(paid)} paid, {payment.words(money - paid)} open")
    tell(json, told, "\n".join(words))
    return 0


def paid_lines(bill: Bill, covered: dict[bytes, int]) -> list[Paid]:
    """The lines of a bill in its order, each with what is paid of it: what vouchers cover of an asset pays its oldest lines first."""
    left = dict(covered)
    found = []
    for line in bill.lines:
        paid = min(line.money, left.get(line.asset, 0))
        left[line.asset] = left.get(line.asset, 0) - paid
        found.append(Paid(line.epoch, line.kind, line.asset, line.units, line.price, line.per_units, line.money, paid))
    return found


def run_customer(network_file: Path, config: Path, once: bool, json: bool) -> int:
    """The loop that buys, until stopped; or one look."""
    from subak.customer.config import load

    network, purchases = load_network(network_file), load(config)
    rpc = Rpc(network.nodes.rpc)
    clock = NetworkClock(rpc, network.speed)
    wallet = Wallet(config.parent / purchases.folder, network, rpc)
    keeping = None
    if purchases.storage is not None:
        from subak.customer.storage import Keeping

        keeping = Keeping(config.parent / purchases.storage.folder)
    loop = _Telling(network, wallet, purchases, keeping=keeping)
    loop.tell = _as_json if json else None
    try:
        if once:
            look = loop.tick(clock.now())
            if not json:
                tell(False, None, _look_words(look, wallet))
            return 1 if look.troubles else 0
        log_to_stderr(json)
        KeepingUp(network, network_file).start()
        with _stop_on_signal() as stop:
            loop.run(stop, clock.now)
    finally:
        wallet.close()
        if keeping is not None:
            keeping.close()
    return 0


class _Telling(CustomerLoop):
    """A loop whose news somebody hears."""

    tell: Callable[[Look, Wallet], None] | None = None
    _said: Look | None = None

    def tick(self, now: int) -> Look:
        look = super().tick(now)
        if self.tell is not None and look != self._said:
            self.tell(look, self.wallet)
        self._said = look
        return look


def _as_json(look: Look, wallet: Wallet) -> None:
    told = {
        "event": "look",
        "billed": [{"epoch": epoch, "money": str(wallet.store.bills(epoch, epoch).money)} for epoch in look.billed],
        "settled": [{"lane": hexed(each.voucher.lane), "seq": each.voucher.seq, "total": str(each.voucher.total)} for each in look.settled],
        "opened": [hexed(each) for each in look.opened],
        "closed": [hexed(each) for each in look.closed],
        "troubles": look.troubles,
    }
    print(msgspec.json.encode(told).decode(), flush=True)


def _look_words(look: Look, wallet: Wallet) -> str:
    lines = [f"epoch {epoch}: {wallet.store.bills(epoch, epoch).money} payment units owed" for epoch in look.billed]
    lines += [
        f"lane {short(each.voucher.lane)}: voucher {each.voucher.seq} over {each.voucher.total} countersigned" for each in look.settled
    ]
    lines += [f"opened lane {hexed(each)}" for each in look.opened]
    lines += [f"closed lane {hexed(each)}" for each in look.closed]
    return "\n".join([*lines, *look.troubles]) or "nothing to do"


def choose_clerk(network: Network, rpc: Rpc, named: str, limit: int, words: Callable[[int], str]) -> Clerk:
    """The verifier that is to countersign: the named one, by its address on the web or its account, else the one with most room.

    Errors: CannotBuy if its stake does not stand behind this limit, or no verifier answers; ClerkUnreachable for a named one.
    """
    client = httpx.Client(timeout=_TIMEOUT_S, trust_env=False)
    if named and not named.startswith(("http://", "https://")):
        found = [("", address(named, "the clerk"))]
    elif named:
        found = [(named.rstrip("/"), _who_listens(client, named, network))]
    else:
        found = []
        for url in network.nodes.verifiers:
            try:
                found.append((url.rstrip("/"), _who_listens(client, url, network)))
            except ClerkUnreachable as error:
                log.info("%s", error)
        if not found:
            raise CannotBuy(f"none of the {len(network.nodes.verifiers)} verifiers in network.toml answers: name one with --clerk")
    rooms = [Clerk(url, who, _room(network, rpc, who)) for url, who in found]
    best = max(rooms, key=lambda each: each.room)
    if best.room < limit:
        whose = f"{hexed(best.address)}'s stake stands" if named else "the verifiers' stakes stand"
        raise CannotBuy(f"{whose} behind a lane of {words(best.room)} at most, not {words(limit)}: name a smaller limit or another clerk")
    return best


def lane_of(wallet: Wallet, text: str) -> KeptLane:
    """The wallet's lane whose id is this, or begins so. Errors: CannotBuy."""
    wanted = text.lower().removeprefix("0x")
    found = [each for each in wallet.store.lanes() if wanted and each.fact.id.hex().startswith(wanted)]
    if len(found) != 1:
        many = f"{len(found)} lanes begin with {text}" if found else f"no lane of this wallet is {text}"
        raise CannotBuy(f"{many}: `subak lane list` names them")
    return found[0]


def _who_listens(client: httpx.Client, url: str, network: Network) -> bytes:
    """The account of the verifier at an address. Errors: ClerkUnreachable."""
    where = f"{url.rstrip('/')}/v1/status"
    try:
        answer = client.get(where)
        told = msgspec.json.decode(answer.content, type=dict[str, Any]) if answer.status_code == 200 else {}
        who = bytes.fromhex(str(told.get("verifier", ""))[2:])
    except (httpx.HTTPError, ValueError) as error:
        raise ClerkUnreachable(f"{where}: {error or type(error).__name__}") from error
    other = told.get("network", hexed(network.id)) != hexed(network.id)
    if len(who) != Address.LENGTH or other:
        what = "is a verifier of another network" if other else f"answered {answer.status_code} and names no verifier"
        raise ClerkUnreachable(f"{where} {what}: is this the right address?")
    return who


def _room(network: Network, rpc: Rpc, clerk: bytes) -> int:
    """Payment units of further lanes that a clerk's stake can stand behind, rounded down."""
    channels = Contract("Channels", network.contracts.channels, rpc)
    stake = Contract("Stake", network.contracts.stake, rpc)
    owner, staked = stake.call_many([("ownerOfSigner", (clerk,)), ("stakeOf", (clerk,))])
    locked, (stake_units, payment_units) = channels.call_many([("locked", (owner,)), ("ratio", ())])
    return int(max(0, staked - locked) * payment_units // stake_units)


def _sender(wallet: Wallet) -> Sender:
    return Sender(wallet.channels.contract.rpc, wallet.account)


def _lane_told(wallet: Wallet, kept: KeptLane, now: int, written: Currencies) -> dict[str, Any]:
    fact = kept.fact
    redeemed, closes_at, over = wallet.channels.lane_state(fact.id)
    if over:
        state = "closed"
    elif now >= closes_at:
        state = "can be closed"
    elif closes_at < fact.closes_at_unix_s or closes_at < fact.expiry_unix_s:
        state = "revoked"
    else:
        state = "expired" if now >= fact.expiry_unix_s else "open"
    payment = written.payment
    return {
        "lane": hexed(fact.id),
        "state": state,
        "clerk": hexed(fact.clerk),
        "clerk_url": kept.clerk_url,
        "limit": payment.told(fact.limit),
        "owed": payment.told(sum(wallet.store.owed(fact.id).values())),
        "redeemed": payment.told(redeemed),
        "expiry_unix_s": fact.expiry_unix_s,
        "closes_at_unix_s": closes_at,
    }


def _lane_words(told: dict[str, Any]) -> str:
    limit, owed, redeemed = (told[name]["units"] for name in ("limit", "owed", "redeemed"))
    money = f"{owed} of {limit} {told['limit']['symbol']} owed, {redeemed} redeemed"
    ends = f"expires {when(told['expiry_unix_s'])}" if told["state"] == "open" else f"closes {when(told['closes_at_unix_s'])}"
    return f"{told['lane']}  {told['state']}: {money}; {ends}"


def _still(held: Returns, words: Callable[[int], str]) -> str:
    return f"; lanes hold {words(held.later)} more" if held.later else ""


def _until(closable: bool, lane: LaneFact) -> str:
    return "that can be had now" if closable else f"until {when(lane.closes_at_unix_s)}"


@contextmanager
def _stop_on_signal() -> Iterator[threading.Event]:
    stop = threading.Event()

    def heard(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, heard) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
