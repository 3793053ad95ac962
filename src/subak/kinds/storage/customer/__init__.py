"""Files of a customer: sealed and coded here, kept by hosts, given back by any k of n of them."""

from __future__ import annotations

from .codec import Code
from .errors import (
    BadName,
    Cause,
    Fault,
    NameTaken,
    NoRoom,
    NoSuchFile,
    PutFailed,
    SourceChanged,
    StoreError,
    TooFewHosts,
    Unreadable,
    WrongKey,
)
from .index import Host, Stored
from .keys import KeyFileRefused
from .remote import Passes, Patience
from .store import Fetched, Progress, Proven, Store

__all__ = [
    "BadName",
    "Cause",
    "Code",
    "Fault",
    "Fetched",
    "Host",
    "KeyFileRefused",
    "NameTaken",
    "NoRoom",
    "NoSuchFile",
    "Passes",
    "Patience",
    "Progress",
    "Proven",
    "PutFailed",
    "SourceChanged",
    "Store",
    "StoreError",
    "Stored",
    "TooFewHosts",
    "Unreadable",
    "WrongKey",
]
