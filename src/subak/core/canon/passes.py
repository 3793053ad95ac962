"""Passes: how a customer's software shows a host which lane pays, until when, for one asset only.

The text stands in the header ``authorization``: ``Subak lane=0x…,until=…,signature=0x…``. The signature is the lane's session key's,
secp256k1 in EIP-2098 form, over keccak256(``"subak/pass/1"`` ‖ asset id (32) ‖ lane (32) ‖ until u64).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from subak.core.canon.keccak import keccak256
from subak.core.canon.vouchers import Fault

SCHEME = "Subak"
"""Authentication scheme of the header."""
PASS_SECONDS = 7200
"""Network time for which a customer's software makes passes: short, since whoever reads one can use it at that host."""
MAX_PASS_SECONDS = 86_400
"""Hosts take no pass that holds longer than this."""
_TAG = b"subak/pass/1"
_LENGTHS = {"lane": 32, "signature": 64}


@dataclass(frozen=True)
class Pass:
    """What a customer shows to one host."""

    lane: bytes
    """Id of the lane that pays, 32 bytes."""
    until_unix_s: int
    """Network time until which it holds."""
    signature: bytes
    """The session key's, 64 bytes."""

    @property
    def header(self) -> str:
        """Value of ``authorization``."""
        return f"{SCHEME} lane=0x{self.lane.hex()},until={self.until_unix_s},signature=0x{self.signature.hex()}"


def pass_digest(asset: bytes, lane: bytes, until_unix_s: int) -> bytes:
    """The 32 bytes that the session key signs. Errors: ValueError naming a value that does not fit."""
    for name, value in (("asset", asset), ("lane", lane)):
        if len(value) != 32:
            raise ValueError(f"{name} has 32 bytes, not {len(value)}")
    if not 0 <= until_unix_s < 1 << 63:
        raise ValueError(f"until = {until_unix_s} is not in [0, 2^63)")
    return keccak256(_TAG + asset + lane + until_unix_s.to_bytes(8, "big"))


def make_pass(asset: bytes, lane: bytes, until_unix_s: int, sign: Callable[[bytes], bytes]) -> Pass:
    """A pass for one asset's host; ``sign`` is the session key's, from 32 bytes to an EIP-2098 signature."""
    return Pass(lane, until_unix_s, sign(pass_digest(asset, lane, until_unix_s)))


def read_pass(header: str) -> Pass:
    """The pass in the value of ``authorization``. Errors: ValueError saying what is not as it should be."""
    scheme, _, rest = header[:400].strip().partition(" ")
    if scheme.lower() != SCHEME.lower():
        raise ValueError(f"authorization is {scheme[:20]!r}, not {SCHEME} lane=…,until=…,signature=…")
    parts = [part.strip().partition("=") for part in rest.split(",")]
    values = {name: value for name, _, value in parts}
    if len(parts) != 3 or values.keys() != {"lane", "until", "signature"}:
        raise ValueError(f"a pass has lane, until and signature once each, this one {[name[:20] for name, _, _ in parts]}")
    until = values["until"]
    if not (until.isascii() and until.isdecimal() and len(until) <= 18):
        raise ValueError(f"until is {until[:40]!r}, not a Unix time in seconds")
    return Pass(_bytes("lane", values["lane"]), int(until), _bytes("signature", values["signature"]))


def pass_fault(shown: Pass, asset: bytes, key: bytes, now_unix_s: int, recover: Callable[[bytes, bytes], bytes]) -> Fault | None:
    """Why a pass does not hold at the asset's host, in words for the customer; None if it does.

    ``key`` is the address of the lane's session key; ``recover`` gives the account that signed a digest and raises ValueError if nobody can
    have. Reasons: pass_expired, pass_too_long, pass_not_signed.
    """
    until = shown.until_unix_s
    if until <= now_unix_s:
        return Fault("pass_expired", f"the pass held until {until}, network time is {now_unix_s}: make a new one")
    if until > now_unix_s + MAX_PASS_SECONDS:
        return Fault(
            "pass_too_long", f"the pass holds until {until}, over {MAX_PASS_SECONDS} s from now ({now_unix_s}): make a shorter one"
        )
    try:
        signer = recover(pass_digest(asset, shown.lane, until), shown.signature)
    except ValueError as error:
        return Fault("pass_not_signed", f"the pass has no valid signature: {error}")
    if signer != key:
        return Fault(
            "pass_not_signed",
            f"the pass was signed by 0x{signer.hex()} or for another asset than 0x{asset.hex()}; the lane's session key is 0x{key.hex()}",
        )
    return None


def _bytes(name: str, text: str) -> bytes:
    digits = text.removeprefix("0x")
    # fromhex would pass over blanks.
    if digits == text or len(digits) != 2 * _LENGTHS[name] or not digits.isalnum():
        raise ValueError(f"{name} is {text[:80]!r}, not 0x and {2 * _LENGTHS[name]} hex digits")
    return bytes.fromhex(digits)
