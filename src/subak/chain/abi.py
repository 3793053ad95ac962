"""The compiled contracts: how their calls, results, events and errors stand as bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_abi.exceptions import DecodingError

from subak.core.canon.keccak import keccak256
from subak.core.nouns.document import Address

CONTRACTS = (
    *("Token", "TestDollar", "Minter", "Stake", "Assets", "Settlement", "Channels", "Attestations"),
    *("SharesFactory", "AssetShares", "Challenges", "SubakGovernor", "Timelock", "Treasury", "Guardian"),
    *("AllowList", "Vault", "MirrorAssets", "TestCollection"),
)
"""Names of the contracts that the package carries."""
_PANICS = {0x01: "assertion failed", 0x11: "overflow", 0x12: "division by zero", 0x21: "not an enum value", 0x32: "index out of bounds"}


@dataclass(frozen=True)
class Signature:
    """A function, event or error: its name and the types of what it carries."""

    name: str
    """Name in Solidity."""
    names: tuple[str, ...]
    """Names of the arguments; "" where Solidity has none."""
    types: tuple[str, ...]
    """Canonical ABI types of the arguments, structs as ``(…)``."""
    outputs: tuple[str, ...] = ()
    """Canonical ABI types of a function's results."""
    indexed: tuple[bool, ...] = ()
    """For an event, which arguments stand in its topics."""

    @property
    def hash(self) -> bytes:
        """keccak-256 of ``name(types)``: an event's topic; its first 4 bytes are a function's or error's selector."""
        return keccak256(f"{self.name}({','.join(self.types)})".encode())


@dataclass(frozen=True)
class Revert:
    """Why a contract refused: a Solidity error with its arguments."""

    name: str
    """Name of the error: ``Settlement_NotLead``; ``Error`` for a reason in words, ``Panic`` for Solidity's own checks."""
    values: Mapping[str, Any]
    """Its arguments by name."""

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{name}={_readable(value)}' for name, value in self.values.items())})"


@dataclass(frozen=True)
class Abi:
    """One compiled contract."""

    name: str
    """Name in Solidity."""
    bytecode: bytes
    """What creates it, without the constructor's arguments."""
    constructor: Signature
    """Types of the constructor's arguments."""
    functions: Mapping[str, Signature]
    """By name; none of ours is overloaded but where OpenZeppelin's are, the first one stands here."""
    events: Mapping[bytes, Signature]
    """By topic."""
    errors: Mapping[bytes, Signature]
    """By selector."""

    def topic(self, event: str) -> bytes:
        """The topic of the event with this name. Errors: KeyError."""
        for topic, signature in self.events.items():
            if signature.name == event:
                return topic
        raise KeyError(f"{self.name} has no event {event}")

    def encode_call(self, function: str, *arguments: Any) -> bytes:
        """Call data. Errors: KeyError for an unknown function, eth_abi.exceptions.EncodingError for a value that does not fit its type."""
        signature = self.functions[function]
        return signature.hash[:4] + abi_encode(signature.types, arguments)

    def decode_call(self, function: str, data: bytes) -> tuple[Any, ...]:
        """The arguments of a transaction that called a function. Errors: ValueError if it did not."""
        signature = self.functions[function]
        if data[:4] != signature.hash[:4]:
            raise ValueError(f"{data[:4].hex()} does not call {self.name}.{function}")
        try:
            return _values(signature.types, data[4:])
        except DecodingError as error:
            raise ValueError(f"{len(data)} bytes are no call of {self.name}.{function}") from error

    def encode_creation(self, *arguments: Any) -> bytes:
        """What a transaction carries that creates the contract."""
        return self.bytecode + abi_encode(self.constructor.types, arguments)

    def decode_result(self, function: str, data: bytes) -> Any:
        """A function's result: the value itself if there is one, else a tuple.

        Errors: ValueError, as when there is no contract at the address.
        """
        outputs = self.functions[function].outputs
        try:
            values = _values(outputs, data)
        except DecodingError as error:
            raise ValueError(f"{self.name}.{function} gave {len(data)} bytes that are not {','.join(outputs)}") from error
        return values[0] if len(values) == 1 else values

    def decode_event(self, topics: Sequence[bytes], data: bytes) -> tuple[str, dict[str, Any]] | None:
        """Name and arguments of a log, or None if it is none of this contract's events."""
        signature = self.events.get(topics[0]) if topics else None
        if signature is None or len(topics) - 1 != sum(signature.indexed):
            return None
        unindexed = tuple(type_ for type_, indexed in zip(signature.types, signature.indexed, strict=True) if not indexed)
        words, rest = iter(topics[1:]), iter(_values(unindexed, data))
        arguments = {
            name: _values((type_,), next(words))[0] if indexed else next(rest)
            for name, type_, indexed in zip(signature.names, signature.types, signature.indexed, strict=True)
        }
        return signature.name, arguments


@cache
def abi(name: str) -> Abi:
    """The compiled contract with this name. Errors: FileNotFoundError if ``python contracts/build.py`` never wrote it."""
    artifact = json.loads((resources.files("subak.chain") / "artifacts" / f"{name}.json").read_text())
    by_type: dict[str, list[Signature]] = {"function": [], "event": [], "error": [], "constructor": []}
    for item in artifact["abi"]:
        by_type.setdefault(item["type"], []).append(_signature(item))
    return Abi(
        name=name,
        bytecode=bytes.fromhex(artifact["bytecode"].removeprefix("0x")),
        constructor=(by_type["constructor"] or [Signature("constructor", (), ())])[0],
        functions={signature.name: signature for signature in reversed(by_type["function"])},
        events={signature.hash: signature for signature in by_type["event"]},
        errors={signature.hash[:4]: signature for signature in by_type["error"]},
    )


def decode_revert(data: bytes) -> Revert | None:
    """What the bytes of a revert mean under any of our contracts, or None if nothing of ours says it."""
    signature = _errors().get(data[:4])
    if signature is None:
        return None
    try:
        values = dict(zip(signature.names, _values(signature.types, data[4:]), strict=True))
    except DecodingError:
        return None
    if signature.name == "Panic":
        values = {"reason": _PANICS.get(values["code"], hex(values["code"]))}
    return Revert(signature.name, values)


@cache
def _errors() -> dict[bytes, Signature]:
    known = [Signature("Error", ("reason",), ("string",)), Signature("Panic", ("code",), ("uint256",))]
    for name in CONTRACTS:
        known.extend(abi(name).errors.values())
    return {signature.hash[:4]: signature for signature in known}


def _signature(item: Mapping[str, Any]) -> Signature:
    inputs = item.get("inputs", ())
    return Signature(
        name=item.get("name", item["type"]),
        names=tuple(each["name"] for each in inputs),
        types=tuple(_type(each) for each in inputs),
        outputs=tuple(_type(each) for each in item.get("outputs", ())),
        indexed=tuple(each.get("indexed", False) for each in inputs),
    )


def _type(item: Mapping[str, Any]) -> str:
    text: str = item["type"]
    if not text.startswith("tuple"):
        return text
    return f"({','.join(_type(each) for each in item['components'])}){text.removeprefix('tuple')}"


def _values(types: Sequence[str], data: bytes) -> tuple[Any, ...]:
    decoded = abi_decode(types, data)
    return tuple(_cast(type_)(value) for type_, value in zip(types, decoded, strict=True))


@cache
def _cast(type_: str) -> Callable[[Any], Any]:
    """eth-abi gives addresses as text, everywhere else bytes are bytes: make them bytes too, also inside arrays and structs."""
    if type_.endswith("]"):
        inner = _cast(type_[: type_.rindex("[")])
        return lambda values: tuple(inner(value) for value in values)
    if type_.startswith("("):
        casts = tuple(_cast(each) for each in _split(type_[1:-1]))
        return lambda values: tuple(cast(value) for cast, value in zip(casts, values, strict=True))
    if type_ == "address":
        return lambda text: Address(bytes.fromhex(text[2:]))
    return lambda value: value


def _split(types: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for position, char in enumerate(types):
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            parts.append(types[start:position])
            start = position + 1
    return [*parts, types[start:]] if types else []


def _readable(value: Any) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)
