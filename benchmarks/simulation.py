"""A model of the service on a cluster: jobs arrive, are routed to replicas, wait for a batch, and are answered.

Each event is simulated, none is measured: what a batch takes, how many jobs it has and how long a replica takes to
start are given. `python -m benchmarks.soak cluster` compares what it says with a real cluster, docs/scale.md reckons
with it.

    python -m benchmarks.simulation --rate 1157 --batch 8 --fixed 0.05 --each 0.03 --replicas 20-60
"""

import argparse
import heapq
import math
import random
import statistics
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count


@dataclass(frozen=True)
class Cluster:
    """What is simulated. Times are in seconds.

    Attributes:
        batch: most jobs of a batch.
        fixed, each: what a batch takes, and what each of its jobs adds.
        replicas: the least and the most.
        ongoing: jobs that a replica holds at once, those at work included.
        hop: between the front door and a replica and back.
        start: from the decision for a replica to its first job.
        look: between two decisions of the autoscaler.
        look_back: over which the jobs are averaged.
        up_delay, down_delay: for which more, or fewer, replicas must be wanted.
    """

    batch: int = 8
    fixed: float = 0.0
    each: float = 0.1
    replicas: tuple[int, int] = (1, 1)
    ongoing: int = 16
    hop: float = 0.005
    start: float = 10.0
    look: float = 1.0
    look_back: float = 30.0
    up_delay: float = 30.0
    down_delay: float = 600.0


@dataclass
class Load:
    """Who asks: `clients` that ask again as soon as they are answered, or `rate` jobs a second at random times."""

    seconds: float
    clients: int = 0
    rate: float = 0.0


@dataclass
class Outcome:
    """What came of it: when each job was answered, how long it took, and how many replicas there were on average."""

    seconds: float
    latencies: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    replica_seconds: float = 0.0
    most_replicas: int = 0

    def throughput(self, after: float = 0.0) -> float:
        """Return the jobs answered in a second, leaving out the beginning."""
        return sum(after < at <= self.seconds for at in self.answered) / (self.seconds - after)

    def quantile(self, share: float) -> float:
        """Return the latency below which a share of the jobs was answered."""
        ordered = sorted(self.latencies)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


@dataclass(eq=False)
class _Replica:
    ready: float
    waiting: deque[float] = field(default_factory=deque)
    working: int = 0
    leaving: bool = False

    @property
    def held(self) -> int:
        return len(self.waiting) + self.working


class Simulation:
    """Runs a load on a cluster."""

    def __init__(self, cluster: Cluster, load: Load, seed: int = 0) -> None:
        self._cluster = cluster
        self._load = load
        self._chance = random.Random(seed)
        self._events: list[tuple[float, int, str, object]] = []
        self._number = count()
        self._queue: deque[float] = deque()
        self._replicas = [_Replica(0.0) for _ in range(max(cluster.replicas[0], 1))]
        self._seen: deque[tuple[float, int]] = deque()
        self._wanted_since: tuple[int, float] = (0, 0.0)
        self._outcome = Outcome(load.seconds)

    def run(self) -> Outcome:
        """Return what came of the load."""
        for _ in range(self._load.clients):
            self._at(self._chance.random() * 0.1, "arrive")
        if self._load.rate:
            self._at(self._chance.expovariate(self._load.rate), "arrive")
        self._at(self._cluster.look, "look")
        while self._events:
            now, _, what, about = heapq.heappop(self._events)
            if now > self._load.seconds:
                break
            getattr(self, f"_{what}")(now, about)
        return self._outcome

    def _at(self, when: float, what: str, about: object = None) -> None:
        heapq.heappush(self._events, (when, next(self._number), what, about))

    def _arrive(self, now: float, _: object) -> None:
        self._queue.append(now)
        if self._load.rate:
            self._at(now + self._chance.expovariate(self._load.rate), "arrive")
        self._route(now)

    def _route(self, now: float) -> None:
        """Give jobs that wait to replicas: of two chosen at random, to the one that holds fewer, as Ray Serve does."""
        while self._queue:
            free = [
                one
                for one in self._replicas
                if one.ready <= now and not one.leaving and one.held < self._cluster.ongoing
            ]
            if not free:
                return
            chosen = min(self._chance.sample(free, min(2, len(free))), key=lambda one: one.held)
            chosen.waiting.append(self._queue.popleft())
            if not chosen.working:
                # What arrives until then is part of the batch.
                chosen.working = 0
                self._at(now + self._cluster.hop / 2, "begin", chosen)

    def _begin(self, now: float, replica: object) -> None:
        assert isinstance(replica, _Replica)
        if replica.working or not replica.waiting:
            return
        size = min(len(replica.waiting), self._cluster.batch)
        jobs = [replica.waiting.popleft() for _ in range(size)]
        replica.working = size
        self._at(now + self._cluster.fixed + self._cluster.each * size, "end", (replica, jobs))

    def _end(self, now: float, about: object) -> None:
        assert isinstance(about, tuple)
        replica: _Replica = about[0]
        jobs: list[float] = about[1]
        replica.working = 0
        for arrived in jobs:
            answered = now + self._cluster.hop / 2
            self._outcome.latencies.append(answered - arrived)
            self._outcome.answered.append(answered)
            if self._load.clients:
                self._at(answered, "arrive")
        if replica.leaving and not replica.waiting:
            self._replicas.remove(replica)
        self._begin(now, replica)
        self._route(now)

    def _look(self, now: float, _: object) -> None:
        """Do what Ray Serve's autoscaler does: as many replicas as have `batch` jobs each, at work or waiting."""
        cluster = self._cluster
        self._at(now + cluster.look, "look")
        running = [one for one in self._replicas if not one.leaving]
        self._outcome.replica_seconds += len(self._replicas) * cluster.look
        self._outcome.most_replicas = max(self._outcome.most_replicas, len(running))
        self._seen.append((now, len(self._queue) + sum(one.held for one in running)))
        while self._seen[0][0] < now - cluster.look_back:
            self._seen.popleft()
        mean = statistics.fmean(jobs for _, jobs in self._seen)
        wanted = min(max(math.ceil(mean / cluster.batch), cluster.replicas[0]), cluster.replicas[1])
        direction = (wanted > len(running)) - (wanted < len(running))
        if direction != self._wanted_since[0]:
            self._wanted_since = (direction, now)
        waited = now - self._wanted_since[1]
        if direction > 0 and waited >= cluster.up_delay:
            for _ in range(wanted - len(running)):
                self._replicas.append(_Replica(now + cluster.start))
                self._at(now + cluster.start, "ready")
        elif direction < 0 and waited >= cluster.down_delay:
            for one in sorted(running, key=lambda one: one.held)[: len(running) - wanted]:
                one.leaving = True
                if not one.held:
                    self._replicas.remove(one)

    def _ready(self, now: float, _: object) -> None:
        self._route(now)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what a cluster would do."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulation", description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, required=True, help="jobs a second")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--fixed", type=float, default=0.0, help="seconds of a batch, however few jobs it has")
    parser.add_argument("--each", type=float, default=0.1, help="seconds that each job adds")
    parser.add_argument("--replicas", default="1", help="N or LEAST-MOST")
    parser.add_argument("--start", type=float, default=10.0, help="seconds until a new replica takes jobs")
    options = parser.parse_args(arguments)
    least, _, most = options.replicas.partition("-")
    cluster = Cluster(
        options.batch,
        options.fixed,
        options.each,
        (int(least), int(most or least)),
        2 * options.batch,
        start=options.start,
    )
    seen = Simulation(cluster, Load(options.seconds, rate=options.rate)).run()
    print(
        f"{seen.throughput(options.seconds / 5):.1f} jobs/s answered; p50 {seen.quantile(0.5):.2f} s, "
        f"p95 {seen.quantile(0.95):.2f} s; {seen.replica_seconds / options.seconds:.1f} replicas on average, "
        f"{seen.most_replicas} at most"
    )


if __name__ == "__main__":
    main()
