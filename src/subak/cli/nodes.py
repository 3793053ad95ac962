"""Processes that run until they are stopped."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from subak.cli.logs import log_to_stderr

if TYPE_CHECKING:
    from subak.verifier.service import Service


class CannotHost(ValueError):
    """A host that cannot begin as things are; the text says why and what to do."""


def run_verifier(network_file: Path, folder: Path, key: Path, address: str, port: int, json: bool = False) -> None:
    """A verifier behind uvicorn."""
    from subak.chain.accounts import Account
    from subak.chain.network_file import load_network
    from subak.verifier.service import make_service

    serve_verifier(make_service(load_network(network_file), folder, Account.load(key)), address, port, json)


def serve_verifier(service: Service, address: str, port: int, json: bool = False) -> None:
    """Serve until stopped."""
    import uvicorn

    log_to_stderr(json)
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


def run_host(network_file: Path, config: Path, json: bool = False) -> None:
    """A host and its devices. Errors: CannotHost for a host.toml that cannot be followed."""
    import msgspec

    from subak.chain.network_file import load_network
    from subak.cli.succeeding import KeepingUp
    from subak.host import agent
    from subak.host.config import load
    from subak.host.keys import KeyFileRefused
    from subak.host.outbox import Outbox

    log_to_stderr(json)
    network = load_network(network_file)

    async def serve() -> None:
        try:
            file, devices = load(config)
        except KeyFileRefused:
            raise
        except (ValueError, msgspec.MsgspecError) as error:
            raise CannotHost(str(error) if str(config) in str(error) else f"{config}: {error}") from None
        await agent.run(network, devices, Outbox(config.parent / file.outbox), file.lending(config.parent))

    if network.nodes.rpc:
        KeepingUp(network, network_file).start()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve())


def run_explorer(rpc: str, archive: str, database: Path, address: str, port: int, json: bool = False) -> None:
    """The pages."""
    from subak.explorer.app import serve

    if json:
        log_to_stderr(json)
    serve(rpc, archive, database, address, port)


def run_devices(network_file: Path, homes: str) -> None:
    """Recorded homes as SunSpec devices."""
    from subak.chain.clock import NetworkClock
    from subak.chain.network_file import load_network
    from subak.chain.rpc import Rpc
    from subak.lab.devices import HomeDevice, serve
    from subak.lab.town import DISHONEST

    log_to_stderr()
    network = load_network(network_file)
    clock = NetworkClock(Rpc(network.nodes.rpc), network.speed)
    played = []
    for each in homes.split(","):
        home, port = (int(part) for part in each.split(":"))
        played.append(HomeDevice(home, port, DISHONEST.get(home)))
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(played, clock.now))


def run_town_customer(network_file: Path, config: Path, disks: int) -> None:
    """A customer of the town."""
    from subak.lab.customers import run

    log_to_stderr()
    with contextlib.suppress(KeyboardInterrupt):
        run(network_file, config, disks)
