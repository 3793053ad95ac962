"""Processes that run until they are stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from subak.verifier.service import Service


def run_verifier(network_file: Path, folder: Path, key: Path, address: str, port: int) -> None:
    """A verifier behind uvicorn."""
    from subak.chain.accounts import Account
    from subak.chain.network_file import load_network
    from subak.verifier.service import make_service

    serve_verifier(make_service(load_network(network_file), folder, Account.load(key)), address, port)


def serve_verifier(service: Service, address: str, port: int) -> None:
    """Serve until stopped."""
    import uvicorn

    _log_to_stderr()
    uvicorn.run(
        service,
        host=address,
        port=port,
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=3,
        limit_concurrency=512,
    )


def run_host(network_file: Path, config: Path) -> None:
    """A host and its devices."""
    from subak.chain.network_file import load_network
    from subak.host import agent
    from subak.host.config import load
    from subak.host.outbox import Outbox

    _log_to_stderr()
    network = load_network(network_file)

    async def serve() -> None:
        file, devices = load(config)
        await agent.run(network, devices, Outbox(config.parent / file.outbox))

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve())


def run_devices(network_file: Path, homes: str) -> None:
    """Recorded homes as SunSpec devices."""
    from subak.chain.clock import NetworkClock
    from subak.chain.network_file import load_network
    from subak.chain.rpc import Rpc
    from subak.lab.devices import HomeDevice, serve
    from subak.lab.town import DISHONEST

    _log_to_stderr()
    network = load_network(network_file)
    clock = NetworkClock(Rpc(network.nodes.rpc), network.speed)
    played = []
    for each in homes.split(","):
        home, port = (int(part) for part in each.split(":"))
        played.append(HomeDevice(home, port, DISHONEST.get(home)))
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(played, clock.now))


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for noisy in ("httpx", "httpcore", "pymodbus"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
