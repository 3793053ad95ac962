from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from subak.core.canon import ids
from subak.core.canon.keccak import keccak256


def test_golden_by_the_words_of_the_formats(vectors: Callable[[str], Any]) -> None:
    """Each id twice: by the code, and by the sentence in docs/formats.md written out here."""
    golden = vectors("ids.json")
    for asset in golden["assets"]:
        text = b"subak/asset/1" + bytes([asset["curve"]]) + asset["key"] + asset["owner"]
        assert ids.asset_id(asset["curve"], asset["key"], asset["owner"]) == asset["id"] == keccak256(text)
    for site in golden["sites"]:
        assert ids.site_id(site["owner"], site["salt"]) == site["id"] == keccak256(b"subak/site/1" + site["owner"] + site["salt"])
    for network in golden["networks"]:
        text = b"subak/network/1" + int(network["chainId"]).to_bytes(8, "big") + network["assets"]
        assert ids.network_id(int(network["chainId"]), network["assets"]) == network["id"] == hashlib.sha256(text).digest()
    for signer in golden["signers"]:
        text = bytes([signer["curve"]]) + signer["key"]
        assert ids.signer_id(signer["curve"], signer["key"]) == signer["id"] == hashlib.sha256(text).digest()[:8]
    for schema in golden["schemas"]:
        assert schema["id"] == hashlib.sha256(schema["text"].encode()).digest()[:8]
    assert all(len(golden[name]) >= 2 for name in ("assets", "sites", "networks", "signers", "schemas"))


@pytest.mark.parametrize(
    ("make", "arguments"),
    [
        (ids.asset_id, (3, bytes(32), bytes(20))),
        (ids.asset_id, (ids.ED25519, bytes(33), bytes(20))),
        (ids.asset_id, (ids.P256, bytes(32), bytes(20))),
        (ids.asset_id, (ids.ED25519, bytes(32), bytes(21))),
        (ids.site_id, (bytes(20), bytes(31))),
        (ids.signer_id, (ids.ED25519, b"")),
        (ids.network_id, (1, bytes(32))),
    ],
)
def test_lengths_and_curves_are_checked(make: Callable[..., bytes], arguments: tuple[Any, ...]) -> None:
    """Otherwise two different sets of facts could have one id."""
    with pytest.raises(ValueError, match=r"bytes, not|unknown curve"):
        make(*arguments)


def test_a_chain_id_has_64_bits() -> None:
    with pytest.raises(OverflowError):
        ids.network_id(2**64, bytes(20))
