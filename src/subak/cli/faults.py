"""Errors that are answers: their text says what disagreed and what to do."""

from __future__ import annotations

import msgspec

from subak.archive.store import ArchiveError
from subak.chain.accounts import KeyFileRefused
from subak.chain.contracts import ChainRefused
from subak.chain.deploy import PlanRefused
from subak.chain.local import LocalChainError
from subak.chain.network_file import NetworkFileRefused
from subak.chain.rpc import RpcError, RpcUnreachable
from subak.cli.found import TableRefused
from subak.explorer.statements import UnknownAsset
from subak.host.keys import KeyFileRefused as DeviceKeyRefused
from subak.kinds.registry import KindMismatch
from subak.lab.town import TownError
from subak.verifier.checking import CannotCheck

KNOWN_FAULTS = (
    ArchiveError,
    CannotCheck,
    ChainRefused,
    DeviceKeyRefused,
    FileNotFoundError,
    KeyFileRefused,
    KindMismatch,
    LocalChainError,
    NetworkFileRefused,
    PlanRefused,
    RpcError,
    RpcUnreachable,
    TableRefused,
    TownError,
    UnknownAsset,
    msgspec.ValidationError,
)
