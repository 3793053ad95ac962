"""Customers of the town: the loop that buys, and a first file for the disks to keep."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from pathlib import Path

import httpx

from subak.chain.clock import NetworkClock
from subak.chain.network_file import load_network
from subak.chain.rpc import Rpc
from subak.core.nouns import Network
from subak.customer.config import load
from subak.customer.loop import CustomerLoop
from subak.customer.storage import Keeping
from subak.customer.wallet import Wallet
from subak.kinds.storage.customer import Code, Host, Store, StoreError, TooFewHosts
from subak.lab.recording import JUNE_2017

log = logging.getLogger("subak.customer")

FILE = JUNE_2017
"""What the customer keeps: the recording of the town's own homes."""
RETRY_SECONDS = 1.0


def run(network_file: Path, config: Path, disks: int) -> None:
    """Buy until stopped. ``disks``: over how many of them the first file is spread."""
    network, purchases = load_network(network_file), load(config)
    rpc = Rpc(network.nodes.rpc)
    clock = NetworkClock(rpc, network.speed)
    wallet = Wallet(config.parent / purchases.folder, network, rpc)
    folder = config.parent / purchases.storage.folder if purchases.storage else None
    loop = CustomerLoop(network, wallet, purchases, keeping=Keeping(folder) if folder else None)
    stop = threading.Event()
    if folder is not None:
        arguments = (folder, network, loop, clock.now, disks, stop)
        threading.Thread(target=_keep_a_file, args=arguments, name="first file", daemon=True).start()
    loop.run(stop, clock.now)


def offering(verifier: str, disks: int) -> list[Host]:
    """The storage hosts on offer at a verifier, once there are so many. Errors: TooFewHosts; httpx.HTTPError."""
    offers = httpx.get(f"{verifier}/v1/offers", params={"kind": "storage"}).raise_for_status().json()["offers"]
    if len(offers) < disks:
        raise TooFewHosts(f"{len(offers)} of {disks} disks are on offer")
    return [Host(bytes.fromhex(each["asset"][2:]), each["endpoint"]) for each in offers]


def _keep_a_file(folder: Path, network: Network, loop: CustomerLoop, now: Callable[[], int], disks: int, stop: threading.Event) -> None:
    """Store the file once all disks offer room and a lane can pay; they may need a moment to hear of the lane."""
    while not stop.is_set():
        try:
            asyncio.run(_put(folder, network, loop, now, disks))
            return
        except (StoreError, httpx.HTTPError, ValueError, LookupError) as error:
            log.info("not now: %s", error)
            stop.wait(RETRY_SECONDS)


async def _put(folder: Path, network: Network, loop: CustomerLoop, now: Callable[[], int], disks: int) -> None:
    async with Store(folder, loop.passes, now=now) as store:
        if FILE.name not in {each.name for each in store.ls()}:
            hosts = offering(network.nodes.verifiers[0], disks)
            stored = await store.put(FILE, FILE.name, hosts, code=Code(max(1, len(hosts) // 2), len(hosts)))
            log.info("stored %s over %d hosts", stored.name, len(hosts))
