"""One run: a clock that jumps from step to step, faults drawn from the seed, and checkers that look after every step."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

from subak.archive.store import FolderArchive
from subak.chain.settlement import Phase, Settlement, SettlementView
from subak.chain.snapshot import Finalised, Follower
from subak.lab.simulator.actors import Character, Host, Verifier
from subak.lab.simulator.bystanders import Bystander
from subak.lab.simulator.checkers import Checker, Everywhere, all_checkers, finals_of
from subak.lab.simulator.customers import Customer
from subak.lab.simulator.ground import DAY_S, ENTRY_HOURS, HOUR_S, Ground, ground
from subak.lab.simulator.sharing import Shared
from subak.lab.simulator.wire import ANYONE, CHAIN, archives_of
from subak.verifier.checking import CannotCheck, CheckResult

BUSY_HOURS = 12
"""So long after an epoch's close most things happen."""
LIMIT_HOURS = 22
"""So long after the last epoch's close a run goes on at least."""
MOST_HOURS = 36
"""When all is calm a closed epoch is final within so many hours, whatever is contested: two attempts, both windows, a question for data,
the judging again, and the time between two steps."""
MOST_STEPS_TO_FUSE = 60


@dataclass(frozen=True)
class Faults:
    """What goes wrong by itself, while it is not calm; parts of a thousand."""

    crash: int = 0
    """Per verifier and step: its power goes off somewhere in it."""
    torn: int = 0
    """Of crashes: they leave part of a record at the end of the log."""
    drop: int = 0
    """Of messages: they do not arrive."""
    cut: int = 0
    """Per step: the network falls into two parts."""
    heal: int = 250
    """Per step: the parts find each other again."""
    deaf: int = 0
    """Per verifier and step: it cannot reach the chain."""
    skew_s: int = 0
    """How far a verifier's clock may be off, either way."""
    forget: int = 0
    """Per step: the chain loses its last minute."""


Casting = Callable[[Random, int], Mapping[int, Character]]
"""Who of so many verifiers is no honest one."""
Bystanders = Callable[[], Sequence[Bystander]]
"""Who else acts, anew for every run."""


@dataclass(frozen=True)
class Scenario:
    """What a run is about."""

    name: str
    """What it is called at the door."""
    about: str
    """In a sentence."""
    faults: Faults = Faults()
    """What goes wrong by itself."""
    verifiers: tuple[int, ...] = (4,)
    """How many; one of these is drawn."""
    casting: Casting = lambda dice, verifiers: {}
    """Who plays whom."""
    epochs: int = 3
    """Epochs in which things go wrong."""
    calm: int = 2
    """Epochs after them in which nothing does."""
    bystanders: Bystanders = lambda: ()
    """Who else acts."""
    sells: int = 0
    """Of a thousand runs, in how many homes offer their work, and verifiers are clerks."""
    lag: int = 0
    """How many of the last epochs need not be final at the end."""
    broken: tuple[str, ...] = ()
    """Promises that cannot hold here, by the checkers' names: what comes of it is printed instead."""


@dataclass
class Outcome:
    """How a run ended."""

    scenario: str
    """Its scenario."""
    seed: int
    """Its seed."""
    violations: list[str]
    """Broken promises; empty if all is well."""
    trace: str
    """Hash of everything that happened: the same for the same seed and code."""
    steps: int
    """Steps until the end."""
    final_epochs: int
    """Epochs that became final."""
    seconds: float
    """Real seconds it took."""
    told: dict[str, Any] = field(default_factory=dict)
    """What the scenario wants to say, as losses."""

    @property
    def passed(self) -> bool:
        return not self.violations

    @property
    def replay(self) -> str:
        """The command that runs it again."""
        return f"subak simulate --scenario {self.scenario} --seed {self.seed}"


class World:
    """A network in a folder, on a ground that is rewound afterwards."""

    def __init__(self, scenario: Scenario, seed: int, folder: Path, checkers: Sequence[Checker] | None = None) -> None:
        self.scenario, self.seed, self.folder = scenario, seed, folder
        self.dice = Random(f"{scenario.name} {seed}")
        """What the world does; nothing else draws from it."""
        self.ground: Ground = ground(self.dice.choice(scenario.verifiers))
        self.chain, self.network = self.ground.chain, self.ground.network
        count = len(self.ground.signers)
        self.shared = Shared()
        cast = scenario.casting(self.dice, count)
        self.sells = self.dice.randrange(1000) < scenario.sells
        """Whether there are customers."""
        self.verifiers = [
            Verifier(self.ground, number, folder / f"verifier-{number}", character, self.shared, lambda: self.chain.now, self.sells)
            for number, character in ((number, cast.get(number, Character())) for number in range(count))
        ]
        self.checkers = all_checkers() if checkers is None else list(checkers)
        self.host = Host()
        self.bystanders = scenario.bystanders()
        self.customer: Customer | None = None
        """Who buys, once somebody does."""
        self.settlement = Settlement(self.chain, self.network.contracts)
        self.follower = Follower(self.chain, self.network.contracts, self.network.clock)
        self.finals: Sequence[Finalised] = []
        honest = [FolderArchive(each.folder / "archive") for each in self.verifiers if each.character.honest]
        liars = [each for each in self.verifiers if not each.character.honest]
        # Fewer than a third are not needed: what they hold others hold too.
        handed_out = archives_of(ANYONE, liars, lambda sender, receiver, what: True) if 3 * len(liars) > count else []
        self.archive = Everywhere([*honest, FolderArchive(folder / "watcher" / "archive")], handed_out)
        """Whatever anyone can have."""
        self.last_epoch = scenario.epochs + scenario.calm - 1
        clock = self.network.clock
        self.calm_from = clock.first_unix_s(scenario.epochs)
        self.closed_unix_s = clock.close_unix_s(self.last_epoch)
        self.checked: dict[bytes, CheckResult | CannotCheck] = {}
        """What was said of ranges, by the transaction that made them final."""
        self.violations: list[str] = []
        self.told: dict[str, Any] = {}
        self.steps = 0
        self._parts: dict[int, int] = {}
        self._deaf: set[int] = set()
        self._asleep: dict[int, int] = {}
        self._trace = sha256()
        self._signed_to = 0
        self._told_phase = ""
        self._view = self.settlement.view()
        self._burned, self._burned_to = 0, self.chain.block().number
        self._salt = f"{scenario.name} {seed}".encode()
        self.log: list[str] = []
        """What happened, in words; the trace is its hash."""

    @property
    def calm(self) -> bool:
        return self.chain.now >= self.calm_from

    def say(self, words: str) -> None:
        """Part of the trace."""
        self.log.append(f"{self.chain.now} {words}")
        self._trace.update(self.log[-1].encode() + b"\n")

    def burned(self) -> int:
        """Tokens that are gone for ever: bonds and stakes that were lost. Follows from the chain's own events."""
        newest = self.chain.block().number
        told = self.ground.contract("Token").events(self._burned_to + 1, newest, ["Transfer"])
        self._burned += sum(int(event.values["value"]) for event in told if not any(event.values["to"]))
        self._burned_to = newest
        return self._burned

    def passes(self, sender: int, receiver: int, what: str) -> bool:
        """Whether a message gets through at this step."""
        if self.calm:
            return True
        if receiver == CHAIN:
            return sender not in self._deaf
        if self._parts.get(sender, 0) != self._parts.get(receiver, 0):
            return False
        if not self.scenario.faults.drop:
            return True
        drawn = sha256(self._salt + f"{self.chain.now} {sender} {receiver} {what}".encode()).digest()
        return int.from_bytes(drawn[:4], "big") % 1000 >= self.scenario.faults.drop

    def run(self) -> Outcome:
        """Live through it."""
        begun = time.perf_counter()
        loop = asyncio.new_event_loop()
        try:
            with self.chain.imagined():
                for verifier in self.verifiers:
                    verifier.start(self.verifiers, self.passes, loop)
                for unix_s in self._times():
                    self._step(unix_s, loop)
                    if self.violations:
                        break
                else:
                    self._verdict("end")
                self.say(f"block {self.chain.block().hash.hex()}")
                for verifier in self.verifiers:
                    verifier.kill()
        finally:
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()
        finals, seconds = sum(each.last - each.first + 1 for each in self.finals), time.perf_counter() - begun
        return Outcome(
            self.scenario.name, self.seed, self.violations, self._trace.hexdigest(), self.steps, finals, seconds, dict(self.told)
        )

    def _times(self) -> Iterator[int]:
        """Steps: close together after an epoch's close, far apart else and while governance is asked, none at a round time."""
        clock = self.network.clock
        now = clock.genesis_unix_s + self.dice.randrange(HOUR_S)
        while now < self.closed_unix_s + self._hours() * HOUR_S:
            yield now
            since = (now - clock.genesis_unix_s - clock.grace_seconds) % DAY_S
            if self._view.phase is Phase.ESCALATED:
                now += self.dice.randrange(18_000, 30_000)
            elif now >= clock.close_unix_s(0) and since < BUSY_HOURS * HOUR_S:
                now += self.dice.randrange(1_500, 2_400)
            else:
                now += min(self.dice.randrange(6_000, 12_000), DAY_S - since + self.dice.randrange(900))

    def _hours(self) -> int:
        """How long after the last epoch's close a run goes on, as it stands."""
        return MOST_HOURS if self._view.next_epoch <= self.last_epoch - self.scenario.lag else LIMIT_HOURS

    def _step(self, unix_s: int, loop: asyncio.AbstractEventLoop) -> None:
        self.steps += 1
        self.chain.go_to(unix_s)
        self._faults(loop)
        self._sign()
        self.host.deliver(self.verifiers, self.passes, self.dice, loop)
        order = list(self.verifiers)
        self.dice.shuffle(order)
        for verifier in order:
            self._tick(verifier)
        for bystander in self.bystanders:
            bystander.act(self, self.settlement.view())
        self._view = self.settlement.view()
        self._tell(self._view)
        self._verdict("look")

    def _tell(self, view: SettlementView) -> None:
        """What the next range has come to, if that is new."""
        name = f"epoch {view.next_epoch} is {view.phase.name}, attempt {view.opened.attempt if view.opened else '-'}"
        if name != self._told_phase:
            self._told_phase = name
            self.say(name)

    def _tick(self, verifier: Verifier) -> None:
        crash = not self.calm and self.dice.randrange(1000) < self.scenario.faults.crash
        fuse = self.dice.randrange(MOST_STEPS_TO_FUSE)
        verifier.fuse = fuse if crash else -1
        told = verifier.tick()
        if told not in ("done", "off"):
            self.say(f"verifier {verifier.number}: {told}")
        if crash:
            verifier.kill()
            self._asleep[verifier.number] = self.steps + self.dice.randrange(1, 6)
            self.say(f"verifier {verifier.number} crashed")
            if self.host.newest and self.dice.randrange(1000) < self.scenario.faults.torn:
                verifier.tear(self.host.newest, self.dice)
                self.say(f"verifier {verifier.number} was writing")

    def _faults(self, loop: asyncio.AbstractEventLoop) -> None:
        faults, dice = self.scenario.faults, self.dice
        for number, until in list(self._asleep.items()):
            if self.steps >= until or self.calm:
                self.verifiers[number].start(self.verifiers, self.passes, loop)
                del self._asleep[number]
        if self.calm:
            for verifier in self.verifiers:
                verifier.skew_s = 0
            return
        if faults.skew_s and self.steps % 16 == 1:
            for verifier in self.verifiers:
                verifier.skew_s = dice.randint(-faults.skew_s, faults.skew_s)
        if self._parts and dice.randrange(1000) < faults.heal:
            self._parts = {}
        if dice.randrange(1000) < faults.cut:
            self._parts = {number: dice.randrange(2) for number in range(len(self.verifiers))}
            self.say(f"cut into {self._parts}")
        self._deaf = {each.number for each in self.verifiers if dice.randrange(1000) < faults.deaf}
        if dice.randrange(1000) < faults.forget:
            self.say(f"the chain forgot {self.chain.forget(60)} transactions")

    def _sign(self) -> None:
        """Homes sign what they recorded until now; in the last calm epoch too."""
        clock, homes = self.network.clock, self.ground.homes
        every = ENTRY_HOURS * HOUR_S
        while clock.genesis_unix_s + (self._signed_to + 1) * every <= self.chain.now:
            start = clock.genesis_unix_s + self._signed_to * every
            for home in homes:
                if self._signed_to == 0:
                    self.host.sign(home, 0, home.possession(self.network.id, clock.genesis_unix_s), self._some())
                    if self.sells:
                        self.host.sign(home, 1, home.offer(self.network.id, clock.genesis_unix_s), self._some())
                self.host.sign(home, start // HOUR_S, home.reading(self.network.id, start), self._some())
            self._signed_to += 1

    def _some(self) -> list[int]:
        """At least two verifiers, in any order."""
        count = self.dice.choice((2, 2, 3))
        return self.dice.sample(range(len(self.verifiers)), min(count, len(self.verifiers)))

    def _verdict(self, what: str) -> None:
        finals = finals_of(self.follower)
        if len(finals) != len(self.finals):
            self.say(f"final up to {finals[-1].last if finals else -1}")
        self.finals = finals
        for checker in self.checkers:
            broken = checker.end(self) if what == "end" else checker.look(self)
            if broken and checker.name in self.scenario.broken:
                self.told.setdefault(checker.name, broken[0])
            elif broken:
                self.violations += [f"{checker.name}: {words}" for words in broken]
        for words in self.violations:
            self.say(words)


def simulate(scenario: Scenario, seed: int, checkers: Sequence[Checker] | None = None, say: Callable[[str], None] | None = None) -> Outcome:
    """Run one seed in a folder in memory that is removed afterwards; ``say`` hears all that happened.

    Raises nothing: a run that fails in itself is a broken seed, whose violation tells the error and where it came from.
    """
    memory = Path("/dev/shm")  # noqa: S108 - only a fast place for a folder with a name of its own
    folder = Path(tempfile.mkdtemp(prefix="subak-", dir=memory if memory.is_dir() else None))
    world, begun = None, time.perf_counter()
    try:
        world = World(scenario, seed, folder, checkers)
        return world.run()
    except BaseException as error:
        # Also what is no Exception: a power cut that nobody felt, a panic of the EVM.
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        ground.cache_clear()
        at = traceback.extract_tb(error.__traceback__)[-1]
        words = f"the run itself: {type(error).__name__}: {error} ({at.name}, {Path(at.filename).name}:{at.lineno})"
        return Outcome(scenario.name, seed, [words], "", world.steps if world else 0, 0, time.perf_counter() - begun)
    finally:
        if say is not None and world is not None:
            for words in world.log:
                say(words)
        shutil.rmtree(folder, ignore_errors=True)
