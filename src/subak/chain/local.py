"""The laptop's chain: anvil, with network time as its clock, restarted where it stopped."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from subak.chain.rpc import Block, Rpc, RpcError, RpcUnreachable, within

CHAIN_ID = 31337
"""EIP-155 id of a local chain, unless told otherwise."""
BLOCK_SECONDS_REAL = 0.5
"""Real seconds between blocks when nobody sends anything."""
HARDFORK = "cancun"
"""What the contracts are compiled for: whatever works here needs nothing newer elsewhere."""
BEFORE_GENESIS_S = 86_400
"""The chain begins this long before epoch 0, so that what is deployed and registered has room before it."""
_POLL_S = 0.04
_START_S = 15.0
_STATES_KEPT = 64
_PR_SET_PDEATHSIG = 1


class LocalChainError(RuntimeError):
    """The local chain cannot run; the text says why and what to do."""


def find_anvil(explicit: Path | None = None) -> Path:
    """The anvil binary: ``explicit``, ``$SUBAK_ANVIL``, the npm package of this platform here or in a folder above, or the PATH.

    Errors: LocalChainError that names the npm package to add.
    """
    chosen = explicit or (Path(os.environ["SUBAK_ANVIL"]) if os.environ.get("SUBAK_ANVIL") else None)
    if chosen is not None:
        if not chosen.is_file():
            raise LocalChainError(f"there is no anvil at {chosen}")
        return chosen
    package, binary = _npm_package()
    for start in (Path.cwd(), Path(__file__).resolve().parent):
        for folder in (start, *start.parents):
            candidate = folder / "node_modules" / package / "bin" / binary
            if candidate.is_file():
                return candidate
    on_path = shutil.which("anvil")
    if on_path:
        return Path(on_path)
    raise LocalChainError(f"anvil is not installed: run npm ci, or on this platform npm install --no-save {package}@1.7.1")


class LocalChain:
    """anvil as a child process, with its state in a folder.

    A thread drives its clock: network time is the last block's timestamp plus real time times the speed. It mines every
    ``block_seconds_real``, and at once when a transaction waits; each block's timestamp is network time and later than the one before.
    While the clock is frozen, which it is at first, blocks are mined only for transactions and each is one second later.
    """

    def __init__(
        self,
        folder: Path,
        port: int,
        genesis_unix_s: int,
        speed: int,
        anvil_path: Path | None = None,
        chain_id: int = CHAIN_ID,
        block_seconds_real: float = BLOCK_SECONDS_REAL,
    ) -> None:
        """``folder`` keeps the state and anvil's complaints; ``genesis_unix_s`` is the start of epoch 0. Nothing starts yet."""
        self.url = f"http://127.0.0.1:{port}"
        """JSON-RPC."""
        self.restarts = 0
        """How often it was started again after it died."""
        self._folder = folder
        self._port = port
        self._first_unix_s = genesis_unix_s - BEFORE_GENESIS_S
        self._speed = speed
        self._anvil = find_anvil(anvil_path)
        self._chain_id = chain_id
        self._block_seconds_real = block_seconds_real
        self._rpc = Rpc(self.url, timeout_s=5.0)
        self._process: subprocess.Popen[bytes] | None = None
        self._funded: dict[bytes, int] = {}
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._start_wanted = threading.Event()
        self._started = threading.Event()
        self._startup_error: Exception | None = None
        self._running_from: tuple[float, float] | None = None
        self._last = 0
        self._mined_at = 0.0

    @property
    def pid(self) -> int:
        """anvil's process id; it changes with a restart. Errors: LocalChainError before ``start``."""
        if self._process is None:
            raise LocalChainError("the local chain was not started")
        return self._process.pid

    @property
    def frozen(self) -> bool:
        """Whether the clock stands."""
        return self._running_from is None

    def start(self) -> None:
        """Start anvil with the state of the folder, the clock frozen. Errors: LocalChainError, as when the port is taken."""
        if self._thread is not None:
            raise LocalChainError("the local chain is already started")
        self._folder.mkdir(parents=True, exist_ok=True)
        self._stopping = False
        self._thread = threading.Thread(target=self._drive, name="local-chain", daemon=True)
        self._thread.start()
        try:
            self._have_started()
        except Exception:
            self.stop()
            raise

    def ensure_running(self) -> bool:
        """Start anvil again if it died, with its state and its clock. Returns whether it had died. Errors: LocalChainError."""
        if self._thread is None:
            raise LocalChainError("the local chain was not started")
        if self._process is not None and self._process.poll() is None:
            return False
        self._have_started()
        self.restarts += 1
        return True

    def stop(self) -> None:
        """Stop anvil; it writes its state first."""
        # Before the thread: its end would end anvil too, without waiting for the state.
        with self._lock:
            self._end_process()
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def freeze(self) -> None:
        """Let the clock stand: each block is one second later than the one before."""
        with self._lock:
            self._running_from = None

    def run_from(self, unix_s: int) -> None:
        """Let the clock run, from ``unix_s`` or from the last block's timestamp, whichever is later. Mines a block at that time."""
        with self._lock:
            at = max(unix_s, self._last + 1)
            self._mine(at)
            self._running_from = (time.monotonic(), float(at))

    def now(self) -> int:
        """Network time, Unix seconds."""
        with self._lock:
            return int(self._network_time())

    def mine(self) -> Block:
        """Mine a block now, one second after the last one if the clock stands. Errors: RpcUnreachable."""
        with self._lock:
            self._mine(max(self._last + 1, int(self._network_time())))
            return self._rpc.block("latest")

    def fund(self, address: bytes, wei: int) -> None:
        """Give an account that much of the chain's coin; given again after a restart, so that it cannot get lost."""
        with self._lock:
            self._funded[bytes(address)] = wei
            self._rpc.request("anvil_setBalance", "0x" + address.hex(), hex(wei))

    def __enter__(self) -> LocalChain:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _end_process(self) -> None:
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _have_started(self) -> None:
        """The driving thread starts anvil: the kernel ends a child when the *thread* that started it ends, and that one lives on."""
        self._startup_error = None
        self._started.clear()
        self._start_wanted.set()
        self._wake.set()
        self._started.wait()
        if self._startup_error is not None:
            raise self._startup_error

    def _drive(self) -> None:
        while not self._stopping:
            self._wake.wait(_POLL_S)
            self._wake.clear()
            if self._start_wanted.is_set():
                self._start_wanted.clear()
                try:
                    self._spawn()
                except Exception as error:
                    self._startup_error = error
                    self._end_process()
                self._started.set()
            elif self._process is not None and self._process.poll() is None:
                # Killed between two questions: ensure_running will see it.
                with contextlib.suppress(RpcUnreachable, RpcError):
                    self._tick()

    def _tick(self) -> None:
        pool = self._rpc.request("txpool_status")
        waits = int(pool["pending"], 16) > 0
        with self._lock:
            if self._running_from is None:
                if waits:
                    self._mine(self._last + 1)
                return
            due = waits or time.monotonic() - self._mined_at >= self._block_seconds_real
            at = int(self._network_time())
            # At speed 1 two blocks a second would make the chain's clock run ahead of the network's.
            if due and at > self._last:
                self._mine(at)

    def _mine(self, unix_s: int) -> None:
        self._rpc.request("evm_mine", {"timestamp": hex(unix_s)})
        self._last = unix_s
        self._mined_at = time.monotonic()

    def _network_time(self) -> float:
        if self._running_from is None:
            return float(self._last)
        since, at = self._running_from
        return at + (time.monotonic() - since) * self._speed

    def _spawn(self) -> None:
        if _somebody_listens(self._port):
            raise LocalChainError(f"port {self._port} is taken by another program: stop it or choose another port")
        with self._lock:
            state, complaints = self._folder / "state.json", self._folder / "anvil.log"
            command = [
                *(str(self._anvil), "--silent", "--no-mining", "--accounts", "0"),
                *("--host", "127.0.0.1", "--port", str(self._port), "--chain-id", str(self._chain_id), "--hardfork", HARDFORK),
                *("--state", str(state), "--state-interval", "1", "--cache-path", str(self._folder / "cache")),
                # Otherwise the head minus 64 blocks is called final.
                *("--slots-in-an-epoch", "1"),
                # Otherwise every block's state becomes a file that a killed anvil leaves behind: 336 MB in 3,000 blocks.
                *("--prune-history", str(_STATES_KEPT)),
                *(() if state.exists() else ("--timestamp", str(self._first_unix_s))),
            ]
            with complaints.open("ab") as log:
                # In a session of its own, or Ctrl-C in the terminal would end it before those who still talk to it.
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                    start_new_session=True,
                    preexec_fn=die_with_parent(),
                )
            self._await_answer(complaints)
            head = self._rpc.block("latest")
            # After a restart anvil's clock stands at wall time, and every earlier block would be refused.
            self._rpc.request("evm_setTime", head.timestamp)
            for address, wei in self._funded.items():
                self._rpc.request("anvil_setBalance", "0x" + address.hex(), hex(wei))
            self._last = head.timestamp
            self._mined_at = time.monotonic()
            if self._running_from is not None:
                self._running_from = (time.monotonic(), float(head.timestamp))

    def _await_answer(self, complaints: Path) -> None:
        assert self._process is not None
        expired = within(_START_S)
        while True:
            if self._process.poll() is not None:
                words = complaints.read_text(errors="replace").strip().splitlines()
                raise LocalChainError(f"anvil ended with {self._process.returncode}: {' '.join(words[-3:]) or 'no reason given'}")
            try:
                chain_id = int(self._rpc.request("eth_chainId"), 16)
            except RpcUnreachable:
                if expired():
                    raise LocalChainError(f"anvil does not answer at {self.url} after {_START_S:.0f} s") from None
                time.sleep(0.01)
                continue
            if chain_id != self._chain_id:
                raise LocalChainError(f"the chain in {self._folder} has id {chain_id}, not {self._chain_id}")
            return


def _somebody_listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _npm_package() -> tuple[str, str]:
    system = {"linux": "linux", "darwin": "darwin", "win32": "win32"}.get(sys.platform, sys.platform)
    machine = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64", "arm64": "arm64"}.get(platform.machine(), platform.machine())
    return f"@foundry-rs/anvil-{system}-{machine}", "anvil.exe" if system == "win32" else "anvil"


def die_with_parent() -> Callable[[], None] | None:
    """On Linux, what makes the kernel send SIGTERM to a child whose parent is gone."""
    if not sys.platform.startswith("linux"):
        return None
    # Loaded here: between fork and exec a child of a threaded process should do next to nothing.
    prctl, term = ctypes.CDLL(None).prctl, int(signal.SIGTERM)

    def before_exec() -> None:
        prctl(_PR_SET_PDEATHSIG, term)

    return before_exec
