"""How a customer's software talks to a host of the storage kind: HTTP/1.1, one piece a request.

=======================================  =====================================================================================
``PUT /v1/pieces/<root>``                262,144 bytes with a ``content-length``; 201 ``Placed``, or 200 if the piece was there
``GET /v1/pieces/<root>``                the bytes
``DELETE /v1/pieces/<root>``             204; only for the lane that put it
``GET /v1/pieces/<root>/place``          ``Place``: where it stands in the last set that the host signed
``GET /v1/status``                       ``Status``; the only one without a pass
``GET /v1/account``                      ``Account``: where the lane of the pass stands at this host
=======================================  =====================================================================================

``<root>`` is the piece's name, 64 hex digits. Bytes stand in JSON as ``0x…``. What is refused is answered by a ``Problem`` (RFC 9457), its
reason one of ``REASONS``. Every request but one carries a pass in ``authorization``: ``core.canon.passes``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec

REASONS: Final[Mapping[str, tuple[int, str]]] = {
    "not_admitted": (402, "The lane is not served here now"),
    "bad_request": (400, "The request cannot be read"),
    "other_lane": (403, "Another lane put the piece"),
    "unknown_path": (404, "No such thing is served here"),
    "unknown_piece": (404, "The piece is not kept here"),
    "not_yet": (404, "The host has not signed a set with this piece yet"),
    "wrong_method": (405, "This is not done here"),
    "slow_body": (408, "The body took too long to arrive"),
    "hash_differs": (409, "The bytes are not the piece that the path names"),
    "length_required": (411, "A piece comes with its content-length"),
    "wrong_size": (413, "A piece has 262,144 bytes"),
    "busy": (503, "Too many pieces are on their way"),
    "disk_failed": (503, "The disk did not do what it was told"),
    "full": (507, "There is no room for another piece"),
}
"""Every reason for a refusal: HTTP status, and what it means."""

_ROOT = re.compile(r"(?:0x)?([0-9a-f]{64})", re.ASCII)


class Placed(msgspec.Struct, frozen=True):
    """A piece was put."""

    root: str
    """Its name."""
    slot: int
    """Where it stands in the sets to come."""


class Place(msgspec.Struct, frozen=True):
    """Where a piece stands in the last signed set; ``rules.tree.check_place`` checks it."""

    set_root: str
    """Root of the set."""
    pieces: int
    """How many slots the set has."""
    slot: int
    """The piece's slot."""
    path: list[str]
    """The siblings from the slot up."""


class Status(msgspec.Struct, frozen=True):
    """What a host says about itself to anyone."""

    asset: str
    """Id of the asset."""
    capacity_kib: int
    """What it keeps at most."""
    used_kib: int
    """What it keeps, pieces on their way out included."""
    pieces: int
    """Pieces that customers have here now."""


class Account(msgspec.Struct, frozen=True):
    """Where a lane stands at a host, in payment units."""

    owed: int
    """Service given so far."""
    covered: int
    """What vouchers cover of it."""
    exposure: int
    """What they do not cover."""
    bound: int
    """Exposure at which the host stops serving."""


class Problem(msgspec.Struct, frozen=True):
    """Why a request was refused."""

    type: str
    """``urn:subak:storage:<reason>``."""
    title: str
    """What the reason means."""
    status: int
    """The HTTP status again."""
    detail: str
    """The values that disagree, in words."""
    reason: str
    """A key of ``REASONS``."""


def problem(reason: str, detail: str) -> Problem:
    """The document for a reason. Errors: KeyError for one that is not in ``REASONS``."""
    status, title = REASONS[reason]
    return Problem(f"urn:subak:storage:{reason}", title, status, detail, reason)


def read_root(text: str) -> bytes | None:
    """The 32 bytes of a piece's name in a path, with or without ``0x``; None if it is none."""
    found = _ROOT.fullmatch(text)
    return bytes.fromhex(found[1]) if found else None
