"""SunSpec: the codec against the published models, played devices against an independent reader, over real sockets."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import sunspec2
import sunspec2.modbus.client as reader
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.server import ModbusTcpServer

from subak.core.kind import Worker
from subak.kinds.energy import kind
from subak.kinds.energy.host.source import Cause, Nameplate, NoData, Sample, SunSpecSource
from subak.kinds.energy.wire import sunspec
from subak.lab.devices import HomeDevice, answering, playing, registers_at, serve
from subak.lab.recording import Cheat, Counters, counters_at, june_2017

NOON = june_2017().first_unix_s + 10 * 86_400 + 12 * 3600
WRAP = sunspec.ACC32_WRAPS_AT


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(coroutine, 30))


def registers(
    export_wh: int = 1000,
    import_wh: int = 2000,
    generation_wh: int = 3000,
    meter_power: int = 0,
    rating: dict[str, int | str] | None = None,
) -> list[int]:
    return sunspec.image(
        (
            sunspec.encode(sunspec.COMMON, {"Mn": "Maker", "SN": "1"}),
            sunspec.encode(sunspec.INVERTER, {"WH": generation_wh, "WH_SF": 0}),
            sunspec.encode(sunspec.NAMEPLATE, rating or {}),
            sunspec.encode(sunspec.METER, {"TotWhExp": export_wh, "TotWhImp": import_wh, "TotWh_SF": meter_power}),
        )
    )


@asynccontextmanager
async def device(shown: Callable[[], list[int]], port: int = 0) -> AsyncIterator[int]:
    server = ModbusTcpServer(answering(shown), address=("127.0.0.1", port))
    await server.serve_forever(background=True)
    try:
        yield cast(asyncio.Server, server.transport).sockets[0].getsockname()[1]
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]


@asynccontextmanager
async def source(port: int, **options: Any) -> AsyncIterator[SunSpecSource]:
    opened = SunSpecSource("127.0.0.1", port, **options)
    try:
        yield opened
    finally:
        await opened.close()


def as_sample(counters: Counters) -> Sample:
    return Sample(counters.export_wh, counters.import_wh, counters.generation_wh)


# The codec


@pytest.mark.parametrize("model", sunspec.MODELS.values(), ids=lambda model: f"model {model.id}")
def test_points_are_those_of_the_published_model(model: sunspec.Model) -> None:
    path = Path(sunspec2.__file__).parent / "models" / "json" / f"model_{model.id}.json"
    offset, published, empty = 0, {}, ""
    letters = {"uint16": "u", "enum16": "u", "bitfield32": "u", "int16": "s", "sunssf": "s", "pad": "s", "acc32": "z", "string": "z"}
    for point in json.loads(path.read_text())["group"]["points"]:
        kind_of = {"enum16": "uint16"}.get(point["type"], point["type"])
        published[point["name"]] = sunspec.Point(point["name"], offset, kind_of, point["size"], point.get("sf"))
        empty += letters[point["type"]] * point["size"]
        offset += point["size"]
    assert model.length == offset - 2
    assert all(published[point.name] == point for point in model.points)
    assert "".join(run[0] * int(run[1:]) for run in model.unimplemented.split()) == empty[2:]


def test_a_block_reads_back() -> None:
    values: dict[str, int | str] = {"TotWhExp": 4_000_000_000, "TotWhImp": 7, "TotWh_SF": -3}
    block = sunspec.encode(sunspec.METER, values)
    assert sunspec.decode(sunspec.METER, block, *values) == values
    offset, count = sunspec.window(sunspec.METER, "TotWhExp", "TotWhImp")
    assert (offset, count) == (38, 17)
    assert sunspec.decode(sunspec.METER, block[offset : offset + count], *values, offset=offset) == values
    assert sunspec.decode(sunspec.COMMON, sunspec.encode(sunspec.COMMON, {"Mn": "Bösch"}), "Mn", "Md", "DA") == {
        "Mn": "Bösch",
        "Md": None,
        "DA": None,
    }
    assert sunspec.decode(sunspec.INVERTER, sunspec.encode(sunspec.INVERTER, {"W": -5, "W_SF": 1}), "W", "WH", "WH_SF") == {
        "W": -5,
        "WH": None,
        "WH_SF": None,
    }


def test_errors_say_whose_fault_and_which_values() -> None:
    with pytest.raises(sunspec.DeviceFault, match="device: no SunSpec marker at 40000: 1234 0000 instead of 5375 6e53"):
        sunspec.first_block((0x1234, 0))
    with pytest.raises(sunspec.DeviceFault, match="model 103 at 40070 has 10 registers, SunSpec says 50"):
        sunspec.block_at(40_070, (103, 10))
    with pytest.raises(sunspec.DeviceFault, match="model 0, length 5"):
        sunspec.block_at(40_070, (0, 5))
    with pytest.raises(sunspec.FrameFault, match=r"frame: .* 1 registers instead of 2"):
        sunspec.block_at(40_070, (103,))
    with pytest.raises(sunspec.FrameFault, match="WH of model 103 lies outside the 3 registers from offset 0"):
        sunspec.decode(sunspec.INVERTER, (1, 2, 3), "WH")
    with pytest.raises(sunspec.FrameFault, match=r"WH of model 103 .* no 16-bit numbers"):
        sunspec.decode(sunspec.INVERTER, (1 << 16, 2, 3), "WH", offset=24)
    with pytest.raises(sunspec.DeviceFault, match="TotWh_SF of model 203 reads None"):
        sunspec.scale_factor(sunspec.METER, "TotWh_SF", None)
    assert sunspec.block_at(40_070, (sunspec.END_MODEL, 0)) is None


@given(st.integers(0, 1 << 50), st.integers(0, WRAP // 2 - 1))
def test_a_counter_stays_monotone_across_the_wrap(last: int, grown: int) -> None:
    assert sunspec.unwrapped((last + grown) % WRAP, last) == last + grown


@given(st.integers(0, 1 << 50), st.integers(1, WRAP // 2))
def test_a_drop_stays_a_drop(last: int, fallen: int) -> None:
    if fallen <= last % WRAP:
        assert sunspec.unwrapped(last % WRAP - fallen, last) == last - fallen


@given(st.integers(0, WRAP - 1), st.integers(-3, 3))
def test_scaling_is_exact_in_whole_watt_hours(raw: int, power: int) -> None:
    assert sunspec.scaled(raw, power) == (raw * 10**power if power >= 0 else raw // 10**-power)


# Devices and sources, over sockets


def test_an_independent_reader_sees_the_same_values() -> None:
    async def scenario() -> None:
        homes = [HomeDevice(1, 0), HomeDevice(4, 0, Cheat.DOUBLED), HomeDevice(12, 0, Cheat.NIGHT_EXPORT)]
        now = NOON
        async with playing(homes, lambda: now) as ports:
            for home, port in zip(homes, ports, strict=True):
                for now in (NOON, NOON + 3599, NOON + 10 * 3600):
                    expected = counters_at(home.home, now, home.cheat)
                    async with source(port) as ours:
                        assert await ours.read() == as_sample(expected)
                        rated_w = june_2017().rated_w(home.home)
                        assert await ours.nameplate() == Nameplate(rated_w, "Subak Lab", "Recorded home", f"FONTANA-{home.home:02}")
                    models, theirs = await asyncio.to_thread(independent_reading, port)
                    assert theirs == (as_sample(expected), rated_w)
                    assert models == [1, 103, 120, 203], "no float models: float32 loses watt-hours above 16.7 MWh"

    run(scenario())


def independent_reading(port: int) -> tuple[list[int], tuple[Sample, int]]:
    """Models, counters and rated power as pysunspec2 sees them; points that are not played read as not implemented."""
    client = reader.SunSpecModbusClientDeviceTCP(slave_id=1, ipaddr="127.0.0.1", ipport=port)
    try:
        client.scan()
        inverter, meter, nameplate = client.models[103][0], client.models[203][0], client.models[120][0]
        played = {"ID", "L", "WH", "WH_SF", "TotWhExp", "TotWhImp", "TotWh_SF", "DERTyp", "WRtg", "WRtg_SF", "Pad"}
        others = [p for model in (inverter, meter, nameplate) for name, p in model.points.items() if name not in played]
        assert [point.pdef["name"] for point in others if point.cvalue] == []
        sample = Sample(meter.TotWhExp.cvalue, meter.TotWhImp.cvalue, inverter.WH.cvalue)
        return sorted(m for m in client.models if isinstance(m, int)), (sample, nameplate.WRtg.cvalue)
    finally:
        client.close()


def test_a_wrapped_register_goes_on_also_after_a_restart() -> None:
    async def scenario() -> None:
        shown = registers(WRAP - 10, 5, 2 * WRAP - 1)
        async with device(lambda: shown) as port:
            async with source(port) as ours:
                assert await ours.read() == Sample(WRAP - 10, 5, WRAP - 1)
                shown = registers(WRAP + 90, 6, 2 * WRAP + 500)
                assert await ours.read() == Sample(WRAP + 90, 6, WRAP + 500)
                shown = registers(80, 7, 600)
                assert await ours.read() == Sample(WRAP + 80, 7, WRAP + 600), "a drop is passed on, the rules hold it"
            async with source(port, last=Sample(WRAP + 90, 6, WRAP + 500)) as restarted:
                shown = registers(95, 8, 700)
                assert await restarted.read() == Sample(WRAP + 95, 8, WRAP + 700)

    run(scenario())


def test_scale_factors_and_their_change() -> None:
    async def scenario() -> None:
        shown = registers(1234, 99, 3000, meter_power=1, rating={"WRtg": 45, "WRtg_SF": 2})
        async with device(lambda: shown) as port, source(port) as ours:
            assert await ours.read() == Sample(12_340, 990, 3000)
            assert (await ours.nameplate()).rated_w == 4500
            shown = registers(123_459, 9_919, 3000, meter_power=-1)
            assert await ours.read() == Sample(12_345, 991, 3000)
            with pytest.raises(sunspec.DeviceFault, match="does not implement its rated power"):
                await ours.nameplate()
            shown = registers(meter_power=11)
            found = await ours.read()
            assert isinstance(found, NoData)
            assert (found.cause, "TotWh_SF of model 203 reads 11" in found.sentence) == (Cause.FAULT, True)

    run(scenario())


def test_a_counter_that_reads_zero_is_no_data() -> None:
    async def scenario() -> None:
        shown = registers(0, 2000, 0)
        async with device(lambda: shown) as port, source(port) as ours:
            found = await ours.read()
            assert isinstance(found, NoData)
            assert found.cause is Cause.NO_DATA
            assert "TotWhExp, WH reads 0" in found.sentence
            shown = registers()
            assert await ours.read() == Sample(1000, 2000, 3000)

    run(scenario())


def test_a_sample_is_of_one_moment() -> None:
    """The meter is read before and after the inverter; when it stepped in between, the sample is begun anew."""

    async def scenario() -> None:
        reads = 0

        def stepping() -> list[int]:
            nonlocal reads
            reads += 1
            return registers_at(june_2017(), 1, NOON + 3600 * min(reads // 8, steps))

        steps = 1
        async with device(stepping) as port, source(port) as ours:
            assert await ours.read() == as_sample(counters_at(1, NOON + 3600))
        steps, reads = 10**6, 0

        def racing() -> list[int]:
            nonlocal reads
            reads += 1
            return registers(export_wh=1000 + reads)

        async with device(racing) as port, source(port) as ours:
            found = await ours.read()
            assert isinstance(found, NoData)
            assert found.cause is Cause.UNSTEADY

    run(scenario())


def test_a_device_that_is_gone_and_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with device(registers) as port:
            ours = SunSpecSource("127.0.0.1", port, timeout_s=1)
            assert await ours.read() == Sample(1000, 2000, 3000)
        found = await ours.read()
        assert isinstance(found, NoData)
        assert found.cause is Cause.UNREACHABLE
        async with device(registers, port):
            assert await ours.read() == Sample(1000, 2000, 3000)
        await ours.close()

    run(scenario())


def test_a_device_that_never_answers_is_given_up() -> None:
    async def scenario() -> None:
        async def silent(incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
            await incoming.read()
            outgoing.close()

        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        async with server, source(server.sockets[0].getsockname()[1], timeout_s=0.05) as ours:
            found = await ours.read()
            assert isinstance(found, NoData)
            assert found.cause is Cause.UNREACHABLE

    run(scenario())


def test_a_device_that_is_not_sunspec_or_lacks_a_model() -> None:
    async def scenario() -> None:
        without_meter = sunspec.image([sunspec.encode(model, {}) for model in (sunspec.COMMON, sunspec.INVERTER)])
        for shown, words in (([7] * 300, "no SunSpec marker at 40000: 0007 0007"), (without_meter, r"has models [1, 103], but not 203")):
            async with device(lambda shown=shown: shown) as port, source(port) as ours:  # type: ignore[misc]
                found = await ours.read()
                assert isinstance(found, NoData)
                assert (found.cause, words in found.sentence) == (Cause.FAULT, True)

    run(scenario())


def test_an_unknown_unit_is_answered_without_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with playing([HomeDevice(1, 0)], lambda: NOON) as (port,), source(port, unit=9) as ours:
            found = await ours.read()
            assert isinstance(found, NoData)
            assert (found.cause, "Modbus exception 11" in found.sentence) == (Cause.UNREACHABLE, True)

    with caplog.at_level(logging.WARNING):
        run(scenario())
    assert [record for record in caplog.records if record.exc_info or "Traceback" in record.getMessage()] == []


def test_serve_plays_until_cancelled() -> None:
    async def scenario() -> None:
        async with device(registers) as port:
            pass  # a port that is free now
        playing_homes = asyncio.create_task(serve([HomeDevice(2, port)], lambda: NOON))
        async with source(port) as ours:
            while isinstance(found := await ours.read(), NoData):
                await asyncio.sleep(0)
            assert found == as_sample(counters_at(2, NOON))
        playing_homes.cancel()
        with pytest.raises(asyncio.CancelledError):
            await playing_homes

    run(scenario())


def test_the_kind_makes_the_source() -> None:
    async def scenario() -> None:
        assert kind.host is not None
        async with device(registers) as port:
            ours = kind.host({"address": "127.0.0.1", "port": port, "last": [WRAP + 900, 1, 2]})
            assert not isinstance(ours, Worker)
            assert ours.schema in kind.rules.schemas
            assert await ours.row() == (WRAP + 1000, 2000, 3000)
            await ours.close()
        with pytest.raises(ValueError, match=r"this one has \['adress'\]"):
            kind.host({"adress": "127.0.0.1"})

    run(scenario())
