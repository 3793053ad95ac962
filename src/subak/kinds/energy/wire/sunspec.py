"""SunSpec information models as registers, without a socket.

Models 1 (common), 103 (three-phase inverter), 120 (nameplate) and 203 (wye meter), from the SunSpec Alliance's model definitions; points
keep their SunSpec names. The float models 111-113 and 211-214 carry energy as float32, which loses watt-hours above 16.7 MWh: not used.

Offsets count from a block's first register, the model's ID; its second is L, the number of registers that follow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

BASE: Final = 40_000
"""Address of the marker; the first block follows it."""
MARKER: Final = (0x5375, 0x6E53)
"""ASCII "SunS"."""
END_MODEL: Final = 0xFFFF
"""The ID that closes the list of blocks."""
COMMON, INVERTER, NAMEPLATE, METER = 1, 103, 120, 203
ACC32_WRAPS_AT: Final = 1 << 32
MOST_REGISTERS: Final = 125
"""What one Modbus read can carry."""


class SunSpecError(ValueError):
    """The registers are not what SunSpec promises."""


class DeviceFault(SunSpecError):
    """The device gave well-formed registers that contradict SunSpec."""


class FrameFault(SunSpecError):
    """The reply is shorter or longer than what was asked for, or a register is no 16-bit number."""


@dataclass(frozen=True)
class Point:
    """One value of a model."""

    name: str
    offset: int
    """Registers from the block's first."""
    type: str
    """uint16, int16, acc32, sunssf (power of ten) or string."""
    size: int = 1
    """Registers it takes."""
    scale: str | None = None
    """The point that holds its power of ten."""


@dataclass(frozen=True)
class Model:
    """The points of a model that we read or play."""

    id: int
    length: int
    """L: registers after ID and L."""
    unimplemented: str
    """How each of them reads if not implemented, in runs: u 0xFFFF (unsigned, bits), s 0x8000 (signed, powers), z 0 (sums, text)."""
    points: tuple[Point, ...]

    def point(self, name: str) -> Point:
        return next(point for point in self.points if point.name == name)


MODELS: Final[Mapping[int, Model]] = {
    model.id: model
    for model in (
        Model(
            COMMON,
            66,
            "z64 u1 s1",
            (
                Point("Mn", 2, "string", 16),
                Point("Md", 18, "string", 16),
                Point("Opt", 34, "string", 8),
                Point("Vr", 42, "string", 8),
                Point("SN", 50, "string", 16),
                Point("DA", 66, "uint16"),
            ),
        ),
        Model(
            INVERTER,
            50,
            "u4 s1 u6 s3 u1 s7 z2 s1 u1 s1 u1 s8 u14",
            (
                Point("W", 14, "int16", scale="W_SF"),
                Point("W_SF", 15, "sunssf"),
                Point("WH", 24, "acc32", 2, scale="WH_SF"),
                Point("WH_SF", 26, "sunssf"),
            ),
        ),
        Model(
            NAMEPLATE,
            26,
            "u2 s1 u1 s6 u1 s6 u1 s1 u1 s1 u1 s1 u1 s2",
            (Point("DERTyp", 2, "uint16"), Point("WRtg", 3, "uint16", scale="WRtg_SF"), Point("WRtg_SF", 4, "sunssf")),
        ),
        Model(
            METER,
            105,
            "s36 z16 s1 z16 s1 z32 s1 u2",
            (
                Point("TotWhExp", 38, "acc32", 2, scale="TotWh_SF"),
                Point("TotWhImp", 46, "acc32", 2, scale="TotWh_SF"),
                Point("TotWh_SF", 54, "sunssf"),
            ),
        ),
    )
}

DER_TYPE_PV: Final = 4
"""``DERTyp`` of model 120 for a photovoltaic plant."""
_UNIMPLEMENTED: Final = {"u": 0xFFFF, "s": 0x8000, "z": 0}


@dataclass(frozen=True)
class Block:
    """Where a device keeps a model."""

    model: int
    address: int
    """Of the block's ID register."""
    length: int
    """L, as the device says."""


def first_block(registers: Sequence[int]) -> int:
    """Address of the first block, from the two registers at ``BASE``. Raises DeviceFault if they are not the marker."""
    if tuple(registers) != MARKER:
        raise DeviceFault(f"device: no SunSpec marker at {BASE}: {_hex(registers)} instead of {_hex(MARKER)}")
    return BASE + len(MARKER)


def block_at(address: int, head: Sequence[int]) -> Block | None:
    """The block whose ID and L were read at ``address``; None at the end marker. Raises FrameFault or DeviceFault."""
    _check_frame("a block's ID and length", head, 2)
    model, length = head
    if model == END_MODEL:
        return None
    known = MODELS.get(model)
    if known and length < known.length:
        raise DeviceFault(f"device: model {model} at {address} has {length} registers, SunSpec says {known.length}")
    if not model or address + 2 + length > 0xFFFF:
        raise DeviceFault(f"device: the block at {address} says model {model}, length {length}")
    return Block(model, address, length)


def window(model: int, *names: str) -> tuple[int, int]:
    """Offset and count of the shortest read that holds these points and their scale factors."""
    points = [point for name in names for point in _with_scale(MODELS[model], name)]
    first = min(point.offset for point in points)
    return first, max(point.offset + point.size for point in points) - first


def decode(model: int, registers: Sequence[int], *names: str, offset: int = 0) -> dict[str, int | str | None]:
    """Raw values of the named points; None where the device does not implement one, or an accumulator reads 0 (SunSpec: no data).

    ``registers`` start ``offset`` registers after the block's ID. Scale factors are powers of ten, not applied.
    Raises FrameFault if a named point lies outside the registers.
    """
    values: dict[str, int | str | None] = {}
    for name in names:
        point = MODELS[model].point(name)
        start = point.offset - offset
        if start < 0 or start + point.size > len(registers):
            raise FrameFault(f"frame: {name} of model {model} lies outside the {len(registers)} registers from offset {offset}")
        words = registers[start : start + point.size]
        if not all(0 <= word <= 0xFFFF for word in words):
            raise FrameFault(f"frame: {name} of model {model} has registers that are no 16-bit numbers: {list(words)}")
        values[name] = _value(point, words)
    return values


def scale_factor(model: int, name: str, value: int | str | None) -> int:
    """A power of ten between -10 and 10, checked. Raises DeviceFault, also if the device does not implement it."""
    if not isinstance(value, int) or not -10 <= value <= 10:
        raise DeviceFault(f"device: {name} of model {model} reads {value}; SunSpec allows -10 to 10")
    return value


def scaled(raw: int, power: int) -> int:
    """raw x 10^power as a whole number, rounded down."""
    return int(raw * 10**power if power >= 0 else raw // 10**-power)


def encode(model: int, values: Mapping[str, int | str]) -> list[int]:
    """A whole block, ID and L first. Everything without a value reads as not implemented. Counters wrap at 2^32."""
    layout = MODELS[model]
    registers = [layout.id, layout.length]
    for run in layout.unimplemented.split():
        registers += [_UNIMPLEMENTED[run[0]]] * int(run[1:])
    for point in layout.points:
        if point.name in values:
            registers[point.offset : point.offset + point.size] = _registers(point, values[point.name])
    return registers


def image(blocks: Sequence[Sequence[int]]) -> list[int]:
    """Registers from ``BASE`` on: marker, blocks, end marker."""
    return [*MARKER, *(register for block in blocks for register in block), END_MODEL, 0]


def unwrapped(raw: int, last: int) -> int:
    """An acc32 reading as a 64-bit counter, given its 64-bit value before: monotone across 2^32.

    A smaller reading is a wrap if that means a growth of less than half the range (serial number arithmetic, RFC 1982); otherwise it is
    a drop and stays one, for the rules to hold.
    """
    wraps, low = divmod(last, ACC32_WRAPS_AT)
    wrapped = raw < low and raw + ACC32_WRAPS_AT - low < ACC32_WRAPS_AT // 2
    return (wraps + wrapped) * ACC32_WRAPS_AT + raw


def _with_scale(model: Model, name: str) -> Iterator[Point]:
    point = model.point(name)
    yield point
    if point.scale:
        yield model.point(point.scale)


def _value(point: Point, words: Sequence[int]) -> int | str | None:
    if point.type == "string":
        text = b"".join(word.to_bytes(2, "big") for word in words).split(b"\0")[0].decode("utf-8", "replace").strip()
        return text or None
    if point.type == "acc32":
        return (words[0] << 16 | words[1]) or None
    if words[0] == _UNIMPLEMENTED["u" if point.type == "uint16" else "s"]:
        return None
    return words[0] - 0x10000 if point.type != "uint16" and words[0] >= 0x8000 else words[0]


def _registers(point: Point, value: int | str) -> list[int]:
    if point.type == "string":
        raw = str(value).encode()[: 2 * point.size].ljust(2 * point.size, b"\0")
        return [int.from_bytes(raw[i : i + 2], "big") for i in range(0, len(raw), 2)]
    if point.type == "acc32":
        number = int(value) % ACC32_WRAPS_AT
        return [number >> 16, number & 0xFFFF]
    return [int(value) & 0xFFFF]


def _check_frame(what: str, registers: Sequence[int], count: int) -> None:
    if len(registers) != count:
        raise FrameFault(f"frame: {what}: {len(registers)} registers instead of {count}")


def _hex(registers: Sequence[int]) -> str:
    return " ".join(f"{register:04x}" for register in registers)
