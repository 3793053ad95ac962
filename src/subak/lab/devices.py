"""Plays recorded homes as SunSpec devices: an inverter and a meter behind one Modbus TCP address.

The registers are a pure function of the clock: each read is answered with what the meter shows at that moment, nothing ticks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, cast

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from subak.kinds.energy.wire import sunspec

from .recording import Cheat, Recording, june_2017

UNIT: Final = 1
"""Modbus unit id of the home; any other is answered with "gateway target did not respond"."""


@dataclass(frozen=True)
class HomeDevice:
    """One home to play."""

    home: int
    """Its number in the recording."""
    port: int
    """TCP port; 0 takes a free one."""
    cheat: Cheat | None = None
    """How it lies, if it does."""
    host: str = "127.0.0.1"


def registers_at(recording: Recording, home: int, unix_s: int, cheat: Cheat | None = None) -> list[int]:
    """The home's registers from ``sunspec.BASE`` at a network time: models 1, 103, 120 and 203."""
    counters = recording.counters_at(home, unix_s, cheat)
    return sunspec.image(
        (
            sunspec.encode(sunspec.COMMON, {"Mn": "Subak Lab", "Md": "Recorded home", "Vr": "1", "SN": f"FONTANA-{home:02}", "DA": UNIT}),
            sunspec.encode(sunspec.INVERTER, {"WH": counters.generation_wh, "WH_SF": 0}),
            sunspec.encode(sunspec.NAMEPLATE, {"DERTyp": sunspec.DER_TYPE_PV, "WRtg": recording.rated_w(home), "WRtg_SF": 0}),
            sunspec.encode(sunspec.METER, {"TotWhExp": counters.export_wh, "TotWhImp": counters.import_wh, "TotWh_SF": 0}),
        )
    )


@asynccontextmanager
async def playing(
    homes: Sequence[HomeDevice], clock: Callable[[], int], recording: Recording | None = None
) -> AsyncIterator[tuple[int, ...]]:
    """Plays the homes while the context is open; gives their ports. ``clock`` returns network time in Unix seconds.

    Raises RuntimeError if a port is taken, KeyError for a home that is not recorded.
    """
    recorded = recording or june_2017()
    ports = []
    async with AsyncExitStack() as stack:
        for device in homes:
            registers = partial(_registers_now, recorded, device, clock)
            server = ModbusTcpServer(answering(registers), address=(device.host, device.port))
            await server.serve_forever(background=True)
            stack.push_async_callback(server.shutdown)
            ports.append(cast(asyncio.Server, server.transport).sockets[0].getsockname()[1])
        yield tuple(ports)


async def serve(homes: Sequence[HomeDevice], clock: Callable[[], int], recording: Recording | None = None) -> None:
    """Plays the homes until cancelled; see ``playing``."""
    async with playing(homes, clock, recording):
        await asyncio.Event().wait()


def answering(registers: Callable[[], list[int]]) -> list[SimDevice]:
    """Devices for a pymodbus server: unit ``UNIT`` answers every read with what ``registers`` gives from ``sunspec.BASE`` on, always as
    many; every other unit does not respond."""

    async def refresh(
        _function: int, start: int, _address: int, _count: int, current: list[int], _written: list[int] | list[bool] | None
    ) -> ExcCodes | None:
        now = registers()
        current[sunspec.BASE - start : sunspec.BASE - start + len(now)] = now
        return None

    data = SimData(sunspec.BASE, values=list(registers()), datatype=DataType.REGISTERS, readonly=True)
    return [SimDevice(UNIT, [data], action=refresh), _nobody()]


def _registers_now(recording: Recording, device: HomeDevice, clock: Callable[[], int]) -> list[int]:
    return registers_at(recording, device.home, clock(), device.cheat)


def _nobody() -> SimDevice:
    """Answers for every unit id that is not played; without it pymodbus logs a traceback for each."""

    async def refuse(*_request: object) -> ExcCodes | None:
        return ExcCodes.GATEWAY_NO_RESPONSE

    return SimDevice(0, [SimData(0, values=[0] * 0x10000, datatype=DataType.REGISTERS, readonly=True)], action=refuse)
