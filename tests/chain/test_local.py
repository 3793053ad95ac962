"""The laptop's chain keeps its state and its clock, whatever kills it."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from subak.chain import local
from subak.chain.local import BEFORE_GENESIS_S, LocalChain, LocalChainError, find_anvil
from subak.chain.rpc import Rpc

from .conftest import FOUNDER, GENESIS, TOKEN, eventually, free_port, kill, wait_for_dump

SPEED = 3600


def test_the_clock_stands_until_it_is_let_go(folder: Path) -> None:
    with LocalChain(folder, free_port(), GENESIS, SPEED, block_seconds_real=0.05) as chain:
        rpc = Rpc(chain.url)
        assert rpc.chain_id() == 31337
        assert chain.frozen
        assert (rpc.block().number, rpc.block().timestamp) == (0, GENESIS - BEFORE_GENESIS_S)
        assert [chain.mine().timestamp - (GENESIS - BEFORE_GENESIS_S) for _ in range(3)] == [1, 2, 3]
        chain.run_from(GENESIS)
        eventually(lambda: rpc.block().number >= 7)
        blocks = [rpc.block(number) for number in range(4, 8)]
        assert blocks[0].timestamp == GENESIS
        assert all(before.timestamp < after.timestamp for before, after in pairwise(blocks))
        assert chain.now() >= blocks[-1].timestamp


def test_after_sigkill_state_and_clock_go_on(folder: Path) -> None:
    with LocalChain(folder, free_port(), GENESIS, SPEED) as chain:
        rpc = Rpc(chain.url)
        chain.fund(FOUNDER.address, TOKEN)
        chain.run_from(GENESIS)
        eventually(lambda: rpc.block().number >= 3)
        chain.freeze()
        head = rpc.block()
        wait_for_dump(folder)
        kill(chain)
        assert chain.restarts == 1
        assert rpc.block(head.number).hash == head.hash
        assert rpc.balance(FOUNDER.address) == TOKEN
        assert not chain.ensure_running()
        after = chain.mine()
        assert (after.number, after.parent, after.timestamp) == (head.number + 1, head.hash, head.timestamp + 1)


def test_a_running_clock_resumes_from_the_last_block(folder: Path) -> None:
    with LocalChain(folder, free_port(), GENESIS, SPEED) as chain:
        rpc = Rpc(chain.url)
        chain.run_from(GENESIS)
        kill(chain)
        head = rpc.block()
        eventually(lambda: rpc.block().number >= head.number + 2)
        next_, later = rpc.block(head.number + 1), rpc.block(head.number + 2)
        assert head.timestamp < next_.timestamp < later.timestamp
        # Not the wall clock's years: what passed while the test looked, at most.
        assert next_.timestamp - head.timestamp < 60 * SPEED
        # The head minus 64 blocks would still be block 0.
        assert later.number - 3 <= rpc.block("finalized").number


def test_stopped_and_started_it_goes_on(folder: Path) -> None:
    with LocalChain(folder, free_port(), GENESIS, SPEED) as chain:
        chain.run_from(GENESIS)
        chain.freeze()
        head = chain.mine()
    with LocalChain(folder, free_port(), GENESIS, SPEED) as chain:
        assert Rpc(chain.url).block() == head
        chain.run_from(GENESIS)
        assert Rpc(chain.url).block(head.number + 1).timestamp == head.timestamp + 1


def test_at_speed_1_the_chains_clock_does_not_run_ahead(folder: Path) -> None:
    with LocalChain(folder, free_port(), GENESIS, speed=1, block_seconds_real=0.01) as chain:
        rpc = Rpc(chain.url)
        chain.run_from(GENESIS)
        eventually(lambda: rpc.block().number >= 2)
        assert rpc.block().timestamp <= chain.now()


def test_a_taken_port_is_said(folder: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(LocalChainError, match=f"port {port} is taken"):
            LocalChain(folder, port, GENESIS, SPEED).start()


def test_a_broken_state_file_is_said(folder: Path) -> None:
    folder.mkdir()
    (folder / "state.json").write_text("{")
    with pytest.raises(LocalChainError, match="failed to parse json"):
        LocalChain(folder, free_port(), GENESIS, SPEED).start()


def test_anvil_dies_with_the_process_that_started_it(folder: Path) -> None:
    port = free_port()
    code = (
        "import os, pathlib, sys; from subak.chain.local import LocalChain\n"
        f"chain = LocalChain(pathlib.Path({str(folder)!r}), {port}, {GENESIS}, 1); chain.start(); print(chain.pid, flush=True)\n"
        "sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        os.kill(pid, 0)
        parent.kill()
        parent.wait()
    eventually(lambda: not Path(f"/proc/{pid}").exists() or "State:\tZ" in Path(f"/proc/{pid}/status").read_text())


def test_a_missing_anvil_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LocalChainError, match="there is no anvil at"):
        find_anvil(tmp_path / "anvil")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(local, "__file__", str(tmp_path / "local.py"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("SUBAK_ANVIL", raising=False)
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    with pytest.raises(LocalChainError, match="@foundry-rs/anvil-darwin-arm64"):
        find_anvil()
