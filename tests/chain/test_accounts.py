"""Keys sign as Ethereum expects and lie in files that nobody else can read."""

from __future__ import annotations

from pathlib import Path

import pytest
from eth_account import Account as Reference

from subak.chain.accounts import ORDER, Account, KeyFileRefused, recover

SECRET = b"\x42" * 32


def test_address_and_signatures_are_ethereums() -> None:
    account = Account(SECRET)
    reference = Reference.from_key(SECRET)
    assert account.address == bytes.fromhex(reference.address[2:])
    for number in range(16):
        digest = bytes([number]) * 32
        signature = account.sign_digest(digest)
        expected = Reference.unsafe_sign_hash(digest, SECRET)
        s = int.from_bytes(signature[32:], "big") & (1 << 255) - 1
        assert int.from_bytes(signature[:32], "big") == expected.r
        assert s == expected.s <= ORDER // 2
        assert signature[32] >> 7 == expected.v - 27
        assert account.sign_digest(digest) == signature
        assert recover(digest, signature) == account.address


def test_recover_refuses_what_no_contract_accepts() -> None:
    digest = b"\x01" * 32
    signature = Account(SECRET).sign_digest(digest)
    assert recover(b"\x02" * 32, signature) != Account(SECRET).address
    with pytest.raises(ValueError, match="upper half"):
        recover(digest, signature[:32] + (ORDER // 2 + 1).to_bytes(32, "big"))
    for broken in (bytes(64), signature[:63], signature + b"\0", b"\xff" * 32 + signature[32:], signature[:32] + bytes(32)):
        with pytest.raises(ValueError, match=r"no key|64"):
            recover(digest, broken)


@pytest.mark.parametrize("secret", [b"", bytes(32), ORDER.to_bytes(32, "big"), b"\x01" * 31])
def test_not_every_32_bytes_are_a_key(secret: bytes) -> None:
    with pytest.raises(ValueError, match="private key"):
        Account(secret)


def test_a_key_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "signer.key"
    account = Account.load_or_create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["signer.key"]
    assert Account.load(path).address == Account.load_or_create(path).address == account.address
    with pytest.raises(FileExistsError):
        Account.create(path)
    assert Account.load(path).address == account.address
    path.chmod(0o640)
    with pytest.raises(KeyFileRefused, match="0640"):
        Account.load(path)
    with pytest.raises(FileNotFoundError):
        Account.load(tmp_path / "none")


@pytest.mark.parametrize("content", [b"", b"zz" * 32, b"ab" * 31, b"00" * 32, b"\xff" * 64])
def test_a_refused_key_file_does_not_show_its_content(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyFileRefused) as refused:
        Account.load(path)
    assert str(refused.value) == f"{path} does not hold a private key of 64 hex digits"
    assert refused.value.__cause__ is None


def test_the_secret_never_appears_in_text() -> None:
    account = Account(SECRET)
    assert SECRET.hex() not in repr(account) + str(account) + str(vars(account))
