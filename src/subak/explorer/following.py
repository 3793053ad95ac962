"""The thread that keeps the index up with the chain, whatever is down at the moment."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

import msgspec

from subak.archive.store import Archive, ArchiveError, HttpArchive
from subak.chain import succession
from subak.chain.rpc import Rpc, RpcError, RpcUnreachable
from subak.chain.snapshot import Follower
from subak.core.canon.json import encode
from subak.core.nouns import Network, decode
from subak.explorer.ledger import Ledger, OtherNetwork
from subak.explorer.onchain import Changes, OnChain
from subak.explorer.wallets import Currencies, currencies_of
from subak.explorer.words import TokenFacts
from subak.verifier.checking import CannotCheck, known_network

log = logging.getLogger("subak.explorer")

LOOK_S = 1.0
"""Real seconds between two looks at the chain."""
PATIENCE_S = 60.0
"""Real seconds without a good look after which it counts as stuck."""
RANGES_AT_ONCE = 16
"""Ranges read in one look, so that pages show progress while a long history is read."""


class Following:
    """Follows a network into an index. Pages read what it knows; it alone writes.

    Whatever fails is kept in ``trouble`` in words and tried again; what was known before stays known, also after a restart.
    """

    def __init__(self, rpc_url: str, archive_url: str, database: Path) -> None:
        """Nothing is asked before ``start``."""
        self.ledger = Ledger(database)
        """The index."""
        self.rpc = Rpc(rpc_url)
        """The chain."""
        self.rpc_url = rpc_url
        """Where the chain is."""
        self.archive_url = archive_url
        """Where the first archive is; others are those of the network's verifiers."""
        self.trouble = ""
        """What went wrong in the last look; empty if nothing did."""
        self.network: Network | None = None
        """The network, once archive and chain have told the same."""
        self.currencies = Currencies(TokenFacts("base units", 0), TokenFacts("base units", 0))
        """How amounts are written."""
        self.chain_unix_s = 0
        """Network time when the chain was seen last; 0 before."""
        self._archives: list[Archive] = [HttpArchive(archive_url, seconds=30.0)]
        self._met: tuple[Network, Follower, OnChain] | None = None
        self._good_look = time.monotonic()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="following", daemon=True)
        self._recall()

    @property
    def stuck(self) -> bool:
        """Whether nothing went well for a while."""
        return bool(self.trouble) and time.monotonic() - self._good_look > PATIENCE_S

    def start(self) -> None:
        """Begin to follow, in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; an unfinished range is read again next time."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=60)
        self.rpc.close()
        self.ledger.close()

    def look(self) -> int:
        """Read what is new; returns how many ranges were. Neither final epochs nor what only the chain says wait for the other. Where a
        vote replaced the Settlement, it goes on with the one that is served.

        Errors: those of ``known_network``, ``Ledger.take`` and ``OnChain.look``.
        """
        network, follower, on_chain = self._met = self._current(*(self._met or self._meet()))
        trouble: Exception | None = None
        try:
            on_chain.look(self._take)
        except Exception as error:
            trouble = error
        taken = self._take_finals(network, follower)
        if trouble is not None:
            raise trouble
        return taken

    def _take_finals(self, network: Network, follower: Follower) -> int:
        finals = follower.history()
        trouble: ArchiveError | None = None
        for archive in self._archives:
            try:
                return self.ledger.take(network, archive, finals, RANGES_AT_ONCE)
            except ArchiveError as error:
                trouble = trouble or error
        raise trouble or ArchiveError("there is no archive to read")

    def _take(self, changes: Changes) -> None:
        self.ledger.take_changes(changes)
        self.chain_unix_s = changes.unix_s

    def _meet(self) -> tuple[Network, Follower, OnChain]:
        """Learn which network this is, and check it against the chain."""
        trouble: CannotCheck | None = None
        for archive in self._archives:
            try:
                network = known_network(archive, self.rpc)
                break
            except CannotCheck as error:
                trouble = trouble or error
        else:
            raise trouble or CannotCheck("there is no archive to read")
        self.currencies = currencies_of(network, self.rpc)
        self.ledger.claim(network)
        self.ledger.note(currencies_json=msgspec.json.encode(self.currencies).decode())
        return network, self._follower(network), OnChain(network, self.rpc)

    def _current(self, network: Network, follower: Follower, on_chain: OnChain) -> tuple[Network, Follower, OnChain]:
        try:
            found = succession.current(self.rpc, network)
        except succession.SuccessionRefused:
            # The chain took the step back: begin anew with what the archive says.
            self._met = None
            raise
        if found == network:
            return network, follower, on_chain
        log.warning("a vote replaced the Settlement: 0x%s makes epochs final from now on", found.contracts.settlement.hex())
        return found, self._follower(found), on_chain

    def _follower(self, network: Network) -> Follower:
        self.ledger.note(network_json=encode(network).decode())
        self._know(network)
        return Follower(self.rpc, network.contracts, network.clock)

    def _recall(self) -> None:
        known = self.ledger.facts()
        if "network_json" in known:
            self._know(decode(known["network_json"].encode(), Network))
            self.currencies = msgspec.json.decode(known["currencies_json"], type=Currencies)
            self.chain_unix_s = int(known.get("chain_unix_s", 0))

    def _know(self, network: Network) -> None:
        self.network = network
        others = [f"{address.rstrip('/')}/archive" for address in network.nodes.verifiers]
        mine = self.archive_url.rstrip("/")
        self._archives = [self._archives[0], *(HttpArchive(each, seconds=30.0) for each in others if each != mine)]

    def _follow(self) -> None:
        wait = 0.0
        while not self._stopping.wait(wait):
            wait = LOOK_S
            try:
                if self.look() == RANGES_AT_ONCE:
                    wait = 0.0
                self.trouble, self._good_look = "", time.monotonic()
            except (ArchiveError, CannotCheck, OtherNetwork, RpcError, RpcUnreachable, succession.SuccessionRefused) as error:
                self._say(str(error))
            except Exception as error:
                log.exception("following failed; it is tried again")
                self._say(f"{type(error).__name__}: {error}")

    def _say(self, trouble: str) -> None:
        if trouble != self.trouble:
            log.warning("%s", trouble)
        self.trouble = trouble
