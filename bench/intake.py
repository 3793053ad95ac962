"""How fast a verifier takes Entries in, beside the bare verification of the same signatures by the same library.

Bare: one thread of one process calls libsodium (PyNaCl's ``crypto_sign_open``) on signed messages that lie ready, and does nothing else.
Intake: one uvicorn process (uvloop, httptools) with the real ``Intake`` and its default limits: HTTP, decoding, every check, SHA-256,
log, fdatasync, one signed acknowledgement a body. A second process posts ready bodies of 64 KiB over 8 connections and counts what was
accepted from the first byte sent to the last answer. Bare and intake take turns on the same Entries; each figure is the median of the
rounds, the ratio is the median of the rounds' ratios. Beside it stands the ratio per CPU second, which other work here moves less.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import statistics
import tempfile
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from nacl.bindings import crypto_sign, crypto_sign_open

from subak.core.canon import ed25519
from subak.core.canon.entry import pack
from subak.core.canon.ids import ED25519, signer_id
from subak.kinds.energy.rules.schemas import READING

NETWORK = bytes(32)
NOW = 1_500_000_000
BODY_BYTES = 65_536
CONNECTIONS = 8
DEVICES = 512
ROUNDS = 5
BODIES = {1: 32, 24: 100}
"""Bodies of a round, by rows of an Entry: about a second of work."""


def run() -> dict[str, float]:
    """Prints a table; returns ``intake_vs_bare_verify`` for Entries of one interval and ``intake_vs_bare_verify_24`` for 24."""
    results: dict[str, float] = {}
    print(f"{'Entry':>14} {'bare/s':>9} {'intake/s':>9} {'ratio':>7} {'per CPU s':>10}   rounds")
    for rows, name in ((1, "intake_vs_bare_verify"), (24, "intake_vs_bare_verify_24")):
        bare, intake, ratios, per_cpu = _measure(rows)
        results[name] = round(statistics.median(ratios), 3)
        each = " ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"{rows:>3} intervals  {bare:>9,.0f} {intake:>9,.0f} {results[name]:>7.3f} {per_cpu:>10.3f}   {each}")
    return results


def _measure(rows: int) -> tuple[float, float, list[float], float]:
    """Medians of bare and intake rates, the rounds' ratios, and the median ratio per CPU second."""
    processes = multiprocessing.get_context("spawn")
    bare_rates, intake_rates, ratios, cpu_ratios = [], [], [], []
    with tempfile.TemporaryDirectory(prefix="subak-bench-") as folder:
        listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        server = processes.Process(target=_serve, args=(listener, folder), daemon=True)
        ours, theirs = processes.Pipe()
        client = processes.Process(target=_post, args=(listener.getsockname()[1], theirs), daemon=True)
        server.start()
        client.start()
        try:
            for number in range(ROUNDS + 1):
                entries, bodies = _entries(number, rows)
                ours.send([b"".join(entry for _, entry in body) for body in bodies])
                _answer(ours)
                bare, bare_cpu = _bare(entries)
                cpu = _cpu_seconds(server.pid)
                ours.send("go")
                seconds, accepted = _answer(ours)
                if accepted != len(entries):
                    raise RuntimeError(f"{accepted} of {len(entries)} Entries were accepted")
                # The first round fills caches.
                if number:
                    cpu = _cpu_seconds(server.pid) - cpu
                    bare = (bare + _bare(entries)[0]) / 2
                    bare_rates.append(len(entries) / bare)
                    intake_rates.append(len(entries) / seconds)
                    ratios.append(bare / seconds)
                    cpu_ratios.append(bare_cpu / cpu)
        finally:
            for process in (client, server):
                process.kill()
                process.join()
            listener.close()
    return statistics.median(bare_rates), statistics.median(intake_rates), ratios, statistics.median(cpu_ratios)


def _entries(number: int, rows: int) -> tuple[list[tuple[bytes, bytes]], list[list[tuple[bytes, bytes]]]]:
    """(key, Entry) of a round, and the same in bodies of at most 64 KiB."""
    per_body = BODY_BYTES // (112 + 24 * rows + 64)
    entries = []
    for count in range(per_body * BODIES[rows]):
        device = count % DEVICES
        seed, sequence = device.to_bytes(32, "big"), number * 1_000_000 + count
        key = ed25519.public_key(seed) if device not in _KEYS else _KEYS[device]
        _KEYS[device] = key
        signed = pack(
            network=NETWORK,
            schema=READING,
            subject=seed,
            signer=signer_id(ED25519, key),
            sequence=sequence,
            start_unix_s=NOW - 3600 * rows,
            interval_seconds=3600,
            rows=[(sequence + row, row + 1, sequence) for row in range(rows)],
        )
        entries.append((key, signed + _sign(seed, key, signed)))
    return entries, [entries[at : at + per_body] for at in range(0, len(entries), per_body)]


_KEYS: dict[int, bytes] = {}


def _sign(seed: bytes, key: bytes, signed: bytes) -> bytes:
    return crypto_sign(signed, seed + key)[:64]


def _bare(entries: list[tuple[bytes, bytes]]) -> tuple[float, float]:
    """Wall and CPU seconds of verifying them all and nothing else."""
    ready = [(entry[-64:] + entry[:-64], key) for key, entry in entries]
    cpu, wall = time.process_time(), time.perf_counter()
    for message, key in ready:
        crypto_sign_open(message, key)
    return time.perf_counter() - wall, time.process_time() - cpu


def _serve(listener: socket.socket, folder: str) -> None:
    """A verifier's intake, until killed."""
    import asyncio

    import uvicorn

    from subak.archive.log import EntryLog
    from subak.chain.accounts import Account
    from subak.core.nouns import Clock
    from subak.verifier.intake import Intake, KnownAsset

    intake = Intake(
        network=NETWORK,
        chain_id=31337,
        settlement=bytes(20),
        schemas=(READING,),
        clock=Clock(genesis_unix_s=NOW - 86_400, epoch_seconds=86_400, grace_seconds=3600, attempt_seconds=600, challenge_seconds=600),
        late_epochs=2,
        now=lambda: NOW,
        entries=EntryLog(folder),
        signer=Account(b"\1" * 32),
    )
    seeds = [device.to_bytes(32, "big") for device in range(DEVICES)]
    intake.know({seed: KnownAsset("energy", ((ED25519, ed25519.public_key(seed)),)) for seed in seeds})
    config = uvicorn.Config(intake, loop="uvloop", http="httptools", lifespan="off", log_level="warning", access_log=False)
    uvloop_factory = config.get_loop_factory()
    with asyncio.Runner(loop_factory=uvloop_factory) as runner:
        runner.run(uvicorn.Server(config).serve([listener]))


def _post(port: int, orders: Connection) -> None:
    """Posts the bodies it is given over 8 connections; reports seconds and how many Entries were accepted."""
    while True:
        bodies: list[bytes] = orders.recv()
        requests = [
            b"POST /v1/entries HTTP/1.1\r\nhost: bench\r\ncontent-type: application/vnd.subak.entries\r\ncontent-length: %d\r\n\r\n"
            % len(body)
            + body
            for body in bodies
        ]
        connections = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(CONNECTIONS)]
        answers: list[dict[str, Any]] = []

        def work(connection: socket.socket, waiting: list[bytes] = requests, answers: list[dict[str, Any]] = answers) -> None:
            reader = connection.makefile("rb")
            while True:
                try:
                    request = waiting.pop()
                except IndexError:
                    return
                connection.sendall(request)
                length = 0
                while (line := reader.readline()) != b"\r\n":
                    name, _, value = line.partition(b":")
                    if name.lower() == b"content-length":
                        length = int(value)
                answers.append(json.loads(reader.read(length)))

        threads = [threading.Thread(target=work, args=(connection,)) for connection in connections]
        orders.send("ready")
        orders.recv()
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - began
        orders.send((seconds, sum(answer.get("accepted", 0) for answer in answers)))
        for connection in connections:
            connection.close()


def _answer(client: Connection) -> Any:
    if not client.poll(60):
        raise TimeoutError("the client did not answer within 60 s")
    return client.recv()


def _cpu_seconds(pid: int | None) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    run()
