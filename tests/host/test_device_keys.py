"""Device keys: made once, kept where only their owner can read them, loaded with their curve."""

from __future__ import annotations

from pathlib import Path

import pytest

from subak.core.canon import ed25519, p256
from subak.core.canon.ids import ED25519, P256, signer_id
from subak.core.canon.signatures import verify
from subak.host.keys import DeviceKey, KeyFileRefused, load_or_create


@pytest.mark.parametrize("curve", [ED25519, P256])
def test_a_key_is_made_once_and_keeps_its_curve(tmp_path: Path, curve: int) -> None:
    path = tmp_path / "keys" / "device.key"
    made = load_or_create(path, curve)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_or_create(path) == load_or_create(path, curve) == made
    assert made.curve == curve
    assert made.signer == signer_id(curve, made.public)
    signature = made.sign(b"512 Wh")
    assert verify(curve, made.public, signature, b"512 Wh")
    assert signature == load_or_create(path).sign(b"512 Wh")
    assert load_or_create(tmp_path / "other.key", curve) != made


def test_without_a_wish_a_new_key_is_ed25519(tmp_path: Path) -> None:
    assert load_or_create(tmp_path / "device.key").curve == ED25519


def test_digits_alone_are_an_ed25519_key(tmp_path: Path) -> None:
    """As every key file was before there were two curves."""
    path = tmp_path / "device.key"
    path.write_text("0b" * 32 + "\n")
    path.chmod(0o600)
    assert load_or_create(path).public == ed25519.public_key(b"\x0b" * 32)
    path.write_text("p256 " + "0b" * 32 + "\n")
    assert load_or_create(path).public == p256.public_key(b"\x0b" * 32)
    path.write_text("ed25519 " + "0b" * 32)
    assert load_or_create(path).public == ed25519.public_key(b"\x0b" * 32)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_file_that_others_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "device.key"
    load_or_create(path, P256)
    path.chmod(mode)
    with pytest.raises(KeyFileRefused, match=f"mode {mode:o}.*chmod 600"):
        load_or_create(path)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "p256",
        "p256 ",
        "0b" * 31,
        "0b" * 33,
        "p256 " + "0b" * 31,
        "p256 " + "00" * 32,
        "p256 " + "ff" * 32,
        f"p256 {p256.ORDER:064x}",
        "p384 " + "0b" * 32,
        "secp256k1 " + "0b" * 32,
        "0b" * 16 + " " + "0b" * 16,
        "zz" * 32,
        "\xff" * 64,
    ],
)
def test_what_is_no_key_is_refused_and_not_told(tmp_path: Path, content: str) -> None:
    path = tmp_path / "device.key"
    path.write_bytes(content.encode("latin-1"))
    path.chmod(0o600)
    with pytest.raises(KeyFileRefused, match="64 hex digits") as refused:
        load_or_create(path)
    assert "0b0b" not in str(refused.value)
    assert path.read_bytes() == content.encode("latin-1")


def test_a_key_of_another_curve_than_asked_for_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "device.key"
    load_or_create(path, P256)
    with pytest.raises(KeyFileRefused, match="holds a key of p256, not of ed25519"):
        load_or_create(path, ED25519)


def test_an_unknown_curve_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown curve 3"):
        load_or_create(tmp_path / "device.key", 3)
    assert not (tmp_path / "device.key").exists()


@pytest.mark.parametrize("curve", [ED25519, P256])
def test_the_secret_never_appears_in_text(curve: int) -> None:
    key = DeviceKey.random(curve)
    assert key.seed.hex() not in repr(key)
    assert key.public.hex() in repr(key)
    assert DeviceKey.random(curve).seed != key.seed
