"""A home's meter and inverter, read over SunSpec Modbus TCP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException

from subak.core.kind import Schema

from ..rules.schemas import READING
from ..wire import sunspec
from ..wire.sunspec import Block, DeviceFault, SunSpecError

_METER_POINTS: Final = ("TotWhExp", "TotWhImp")
_ATTEMPTS: Final = 5
"""How often a sample is begun anew because the meter stepped while the inverter was read."""


@dataclass(frozen=True)
class Sample:
    """Counters that were all true at one moment."""

    export_wh: int
    """Fed into the grid (meter, model 203, TotWhExp)."""
    import_wh: int
    """Drawn from the grid (meter, model 203, TotWhImp)."""
    generation_wh: int
    """Produced (inverter, model 103, WH)."""


class Cause(StrEnum):
    """Why there is no sample."""

    UNREACHABLE = "unreachable"
    """No connection, no answer, or the device refused the read; the next call connects anew."""
    NO_DATA = "no_data"
    """A counter reads 0, which SunSpec defines as "not accumulated"."""
    UNSTEADY = "unsteady"
    """The meter stepped during every attempt."""
    FAULT = "fault"
    """The device's registers are not what SunSpec promises."""


@dataclass(frozen=True)
class NoData:
    """No sample this time, and why."""

    cause: Cause
    sentence: str
    """For the owner: who is at fault and with which values."""


@dataclass(frozen=True)
class Nameplate:
    """What a device says about itself."""

    rated_w: int
    """Rated power (model 120, WRtg)."""
    manufacturer: str | None
    model: str | None
    serial: str | None


class Unreachable(ConnectionError):
    """The device gave no answer, or refused the read."""


class SunSpecSource:
    """One SunSpec device behind a Modbus TCP address. Connects when first asked, and again after any failure. Not for concurrent calls."""

    def __init__(self, host: str, port: int = 502, unit: int = 1, *, timeout_s: float = 3.0, last: Sample | None = None) -> None:
        """``last`` is the last sample before a restart: a 32-bit register that wrapped meanwhile then goes on from it."""
        self._client = AsyncModbusTcpClient(host, port=port, timeout=timeout_s, retries=0, reconnect_delay=0)
        self._address = f"{host}:{port} unit {unit}"
        self._unit = unit
        self._blocks: dict[int, Block] = {}
        self._last_wh: dict[str, int] = {"TotWhExp": last.export_wh, "TotWhImp": last.import_wh, "WH": last.generation_wh} if last else {}
        self._last_raw: dict[str, tuple[int, int]] = {}

    async def read(self) -> Sample | NoData:
        """The counters now, extended to 64 bits, or why there are none. Never raises for what a device or network does.

        Meter and inverter do not fit into one Modbus read, so the meter is read before and after; a sample counts if it did not step.
        """
        try:
            for _ in range(_ATTEMPTS):
                before = await self._points(sunspec.METER, *_METER_POINTS)
                inverter = await self._points(sunspec.INVERTER, "WH")
                after = await self._points(sunspec.METER, *_METER_POINTS)
                if before == after:
                    return self._sample(after, inverter)
        except Unreachable as error:
            return NoData(Cause.UNREACHABLE, str(error))
        except SunSpecError as error:
            self._blocks.clear()
            return NoData(Cause.FAULT, f"{self._address}: {error}")
        return NoData(Cause.UNSTEADY, f"{self._address}: the meter stepped during each of {_ATTEMPTS} attempts")

    @property
    def schema(self) -> Schema:
        """``energy.reading``."""
        return READING

    async def row(self) -> Sequence[int] | str:
        """The sample in the schema's order; or in words why there is none. See ``read``."""
        found = await self.read()
        return found.sentence if isinstance(found, NoData) else (found.export_wh, found.import_wh, found.generation_wh)

    async def nameplate(self) -> Nameplate:
        """What the device says about itself. Raises Unreachable (a ConnectionError) or SunSpecError."""
        rating = await self._points(sunspec.NAMEPLATE, "WRtg")
        common = await self._points(sunspec.COMMON, "Mn", "Md", "SN")
        raw = rating["WRtg"]
        if not isinstance(raw, int):
            raise DeviceFault(f"device: {self._address} does not implement its rated power (model 120, WRtg)")
        power = sunspec.scale_factor(sunspec.NAMEPLATE, "WRtg_SF", rating["WRtg_SF"])
        names = {name: value if isinstance(value, str) else None for name, value in common.items()}
        return Nameplate(sunspec.scaled(raw, power), names["Mn"], names["Md"], names["SN"])

    async def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _sample(self, meter: Mapping[str, int | str | None], inverter: Mapping[str, int | str | None]) -> Sample | NoData:
        raw = {"TotWhExp": meter["TotWhExp"], "TotWhImp": meter["TotWhImp"], "WH": inverter["WH"]}
        silent = [name for name, value in raw.items() if value is None]
        if silent:
            return NoData(Cause.NO_DATA, f"{self._address}: {', '.join(silent)} reads 0, which SunSpec defines as no data")
        meter_power = sunspec.scale_factor(sunspec.METER, "TotWh_SF", meter["TotWh_SF"])
        inverter_power = sunspec.scale_factor(sunspec.INVERTER, "WH_SF", inverter["WH_SF"])
        powers = {"TotWhExp": meter_power, "TotWhImp": meter_power, "WH": inverter_power}
        wh = {name: self._extended_wh(name, value, powers[name]) for name, value in raw.items() if isinstance(value, int)}
        return Sample(wh["TotWhExp"], wh["TotWhImp"], wh["WH"])

    def _extended_wh(self, name: str, raw: int, power: int) -> int:
        last_raw, last_power = self._last_raw.get(name, (0, None))
        if last_power != power:  # First reading, or the device changed its scale: continue from the watt-hours.
            last_raw = sunspec.scaled(self._last_wh.get(name, 0), -power)
        extended = sunspec.unwrapped(raw, last_raw)
        self._last_raw[name] = extended, power
        self._last_wh[name] = sunspec.scaled(extended, power)
        return self._last_wh[name]

    async def _points(self, model: int, *names: str) -> dict[str, int | str | None]:
        """Raw values of the points and of their scale factors."""
        if not self._blocks:
            self._blocks = await self._discover()
        if model not in self._blocks:
            raise DeviceFault(f"device: has models {sorted(self._blocks)}, but not {model}")
        offset, count = sunspec.window(model, *names)
        registers = await self._registers(self._blocks[model].address + offset, count)
        scales = {sunspec.MODELS[model].point(name).scale for name in names} - {None}
        return sunspec.decode(model, registers, *names, *sorted(filter(None, scales)), offset=offset)

    async def _discover(self) -> dict[int, Block]:
        blocks: dict[int, Block] = {}
        address = sunspec.first_block(await self._registers(sunspec.BASE, 2))
        while block := sunspec.block_at(address, await self._registers(address, 2)):
            blocks.setdefault(block.model, block)
            address = block.address + 2 + block.length
        return blocks

    async def _registers(self, address: int, count: int) -> list[int]:
        try:
            if not self._client.connected and not await self._client.connect():
                raise Unreachable(f"{self._address}: no connection")
            reply = await self._client.read_holding_registers(address, count=count, device_id=self._unit)
        except (ModbusException, OSError) as error:
            self._forget()
            raise Unreachable(f"{self._address}: {error}") from error
        if reply.isError():
            self._forget()
            raise Unreachable(f"{self._address}: refused to read {count} registers at {address}, Modbus exception {reply.exception_code}")
        if len(reply.registers) != count:
            raise sunspec.FrameFault(f"frame: {len(reply.registers)} registers instead of {count} at {address}")
        return list(reply.registers)

    def _forget(self) -> None:
        self._client.close()
        self._blocks.clear()


def from_table(table: Mapping[str, Any]) -> SunSpecSource:
    """The source that a device's ``source`` table in ``host.toml`` describes: ``address``; where the defaults do not fit ``port``, ``unit``
    and ``timeout_s``; after a restart ``last``, the last row that was signed. Raises ValueError for a key that is missing or unknown."""
    options = dict(table)
    if set(options) - {"address", "port", "unit", "timeout_s", "last"} or "address" not in options:
        raise ValueError(f"energy: a source needs address, and may have port, unit, timeout_s and last; this one has {sorted(options)}")
    if options.get("last") is not None:
        options["last"] = Sample(*options["last"])
    return SunSpecSource(options.pop("address"), **options)
