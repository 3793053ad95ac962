"""``subak watch`` as people run it: over HTTP, killed in mid-work, begun again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from watch_world import TOKENS, WATCHER, Headed, account, headed, lie_about_one_home, served

from subak.chain.accounts import Account
from subak.chain.settlement import Phase


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Headed]:
    built = headed(tmp_path_factory.mktemp("town"))
    try:
        yield built
    finally:
        built.chain.stop()


@pytest.fixture(scope="module")
def url(town: Headed) -> Iterator[str]:
    with served(town) as address:
        yield address


def command(town: Headed, url: str, folder: Path, who: Account, *more: str) -> list[str]:
    key = folder / f"{who.address.hex()}.key"
    key.write_text(who._key.secret.hex())
    key.chmod(0o600)
    words = ["watch", "--archive", url, "--rpc", town.rpc.url, "--key", str(key), "--folder", str(folder / "watch"), "--json", *more]
    return [sys.executable, "-m", "subak", *words]


def killed_at(event: str, words: list[str]) -> list[str]:
    """Run it until it tells the event, then SIGKILL; what it told."""
    told = []
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            told.append(json.loads(line)["event"])
            if told[-1] == event:
                process.kill()
                break
    assert event in told
    return told


def test_a_watcher_that_is_killed_in_mid_doubt_bonds_once(town: Headed, url: str, tmp_path: Path) -> None:
    town.finish(town.propose())
    town.propose(lie_about_one_home(town.homes[0].asset))
    bond, words = town.challenges().bond_now(), command(town, url, tmp_path, WATCHER)
    killed_at("settled", words)
    killed_at("differs", words)
    done = subprocess.run([*words, "--once"], stdout=subprocess.PIPE, text=True, check=False)
    told = [json.loads(line)["event"] for line in done.stdout.splitlines()]
    assert "settled" not in told, "what was settled is kept"
    assert town.view().phase is Phase.CHALLENGED
    assert town.tokens() == TOKENS - bond
    assert town.challenges().dispute(town.message.first, 0).challenger == WATCHER.address
    again = subprocess.run([*words, "--once"], stdout=subprocess.PIPE, text=True, check=False)
    assert again.returncode == 0, "while it is judged again there is nothing to say against it"
    assert town.tokens() == TOKENS - bond


def test_a_poor_watcher_is_refused_in_one_line(town: Headed, url: str, tmp_path: Path) -> None:
    done = subprocess.run(command(town, url, tmp_path, account(2002), "--once"), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("WalletTooSmall: 0x")
    assert "are missing" in line
