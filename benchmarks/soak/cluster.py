"""The service's engine on a Ray cluster of several nodes on this machine, with a model that only waits.

What is seen: the time that the way to a replica and back takes; how throughput grows with replicas; and what becomes of
jobs while one of four replicas is killed, every few seconds once all are there. The simulation of
benchmarks/simulation.py must say the same, within a fifth. The cluster's processors are numbers: the model waits, and
takes none.
"""

import os
import random
import signal
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

from app.engine.base import Engine
from app.engine.local import LocalEngine
from app.engine.ray_serve import RayEngine, Room
from benchmarks.report import table
from benchmarks.simulation import Cluster, Load, Simulation
from benchmarks.soak import Options, Result
from benchmarks.soak.clients import p95
from models.base import Job, Placement
from models.registry import Registry
from tests.cluster import make_cluster
from tests.fakes import wait_until
from tests.waiting import Waiting, waiting

REPLICAS = (1, 2, 8)
BATCH_SECONDS = 2.0
"""Long beside the processor time of a batch, of which a busy machine has little."""
LEAST_GROWTH = {2: 1.9, 8: 7.0}
MOST_OVERHEAD, MOST_SLOWER, MOST_WRONG = 0.010, 5.0, 0.2
KILL_EVERY = 5.0
_JOBS = 200
_WARM = 3


@dataclass
class Seen:
    """What clients saw."""

    latencies: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def rate(self, begun: float, ended: float) -> float:
        """Return the answers in a second between two times."""
        return sum(begun < at <= ended for at in self.answered) / (ended - begun)


def soak(options: Options) -> Result:
    """Measure for about so many minutes, and more where the machine is busy."""
    span = max(options.minutes * 60 / 6, 6 * BATCH_SECONDS)
    with make_cluster(nodes=3, cpus=4):
        hop, local_hop = _overhead()
        rates = {number: _throughput(number, span) for number in REPLICAS}
        calm, disturbed, kills = _killed(span)
    simulated = {number: _simulated(number, hop, span) for number in REPLICAS}
    rows = [("one job at the local engine, p50", f"{local_hop * 1000:.2f} ms", "")]
    rows += [("one job at a replica, p50", f"{hop * 1000:.2f} ms", "")]
    for number, seen in rates.items():
        rate, p50 = seen
        said = simulated[number]
        rows.append((f"{number} replicas, jobs/s", f"{rate:.2f}", f"{said[0]:.2f}"))
        rows.append((f"{number} replicas, p50", f"{p50:.2f} s", f"{said[1]:.2f} s"))
    for name, one in (("undisturbed", calm), (f"{kills} replicas killed", disturbed)):
        rows.append((f"4 replicas, {name}: jobs answered", str(len(one.latencies)), ""))
        rows.append((f"4 replicas, {name}: p95", f"{p95(one.latencies):.2f} s", ""))
    measured = table(["what", "seen", "simulated"], rows)
    return Result(measured, list(wrong((hop, local_hop), rates, simulated, (calm, disturbed), kills)))


def wrong(
    hops: tuple[float, float],
    rates: dict[int, tuple[float, float]],
    simulated: dict[int, tuple[float, float]],
    seen: tuple[Seen, Seen],
    kills: int,
) -> Iterator[str]:
    """Yield what is not as it should be."""
    if (overhead := hops[0] - hops[1]) > MOST_OVERHEAD:
        yield f"a replica is {overhead * 1000:.1f} ms farther than the local engine"
    for number, least in LEAST_GROWTH.items():
        if (growth := rates[number][0] / rates[1][0]) < least:
            yield f"{number} replicas do {growth:.2f} times as much as one"
    for number, (rate, p50) in rates.items():
        for measured, said in ((rate, simulated[number][0]), (p50, simulated[number][1])):
            if abs(said / measured - 1) > MOST_WRONG:
                yield f"{number} replicas: simulated {said:.2f}, seen {measured:.2f}"
    calm, disturbed = seen
    if kills < 1:
        yield "no replica was killed"
    if p95(disturbed.latencies) > MOST_SLOWER * p95(calm.latencies):
        yield f"p95 {p95(disturbed.latencies):.2f} s where replicas are killed, {p95(calm.latencies):.2f} s otherwise"
    yield from (*calm.wrong, *disturbed.wrong)


def _ray(model: Waiting, replicas: int) -> RayEngine:
    registry = Registry([model], Placement())
    engine = RayEngine(registry, Placement(), 1000, lambda name: Room(1.0, 0.0, (replicas, replicas)))
    engine.submit("waiting", Job(text="first"), 600).result()
    return engine


def _end(engine: RayEngine) -> None:
    engine.close()
    wait_until(lambda: engine.unload("waiting"), 60)


def _overhead() -> tuple[float, float]:
    """Return the median time of a job that takes none, at a replica and at the local engine."""
    model = waiting()

    def median(engine: Engine) -> float:
        times = []
        for number in range(_JOBS):
            began = time.monotonic()
            engine.submit("waiting", Job(text=str(number)), 60).result()
            times.append(time.monotonic() - began)
        return statistics.median(times)

    local, ray = LocalEngine(Registry([model], Placement()), 8), _ray(model, 1)
    try:
        return median(ray), median(local)
    finally:
        local.close()
        _end(ray)


def _throughput(replicas: int, span: float) -> tuple[float, float]:
    """Return the jobs in a second of so many replicas that always have enough to do, and the median latency."""
    engine = _ray(waiting(seconds=BATCH_SECONDS), replicas)
    try:
        seen, began = _crowd(engine, 2 * Waiting.batch_size * replicas, _WARM * BATCH_SECONDS + span)
    finally:
        _end(engine)
    if seen.wrong:
        raise RuntimeError(seen.wrong[0])
    warm = began + _WARM * BATCH_SECONDS
    latencies = [took for took, at in zip(seen.latencies, seen.answered, strict=True) if at > warm]
    return seen.rate(warm, warm + span), statistics.median(latencies)


def _crowd(engine: Engine, clients: int, seconds: float) -> tuple[Seen, float]:
    """Let clients ask one job after the other for a time; return what they saw, and when they began."""
    seen, lock, numbers = Seen(), threading.Lock(), count()
    began = time.monotonic()

    def work() -> None:
        while time.monotonic() < began + seconds:
            text, asked = f"job {next(numbers)}", time.monotonic()
            try:
                said = engine.submit("waiting", Job(text=text), 120).result().text
            except Exception as error:
                said = f"{type(error).__name__}: {error}"
            with lock:
                seen.latencies.append(time.monotonic() - asked)
                seen.answered.append(time.monotonic())
                if said != text:
                    seen.wrong.append(f"{text}: {said}")

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen, began


def _killed(span: float) -> tuple[Seen, Seen, int]:
    """Return what clients see of four replicas, undisturbed and while one is killed every few seconds, and how many
    were killed."""
    engine = _ray(waiting(seconds=BATCH_SECONDS / 2), 4)
    end, killed, chance = threading.Event(), [], random.Random(0)

    def kill() -> None:
        while not end.wait(KILL_EVERY):
            # A machine that is busy may take longer to start one than to kill one.
            if _running() < 4:
                continue
            try:
                pid = int(engine.submit("waiting", Job(text="who"), 60).result().text)
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
            except ProcessLookupError:
                continue
            end.wait(chance.random())

    try:
        calm, _ = _crowd(engine, 8, span)
        killer = threading.Thread(target=kill)
        killer.start()
        disturbed, _ = _crowd(engine, 8, span)
        end.set()
        killer.join()
    finally:
        end.set()
        _end(engine)
    return calm, disturbed, len(killed)


def _running() -> int:
    """Return how many replicas take jobs."""
    from ray import serve

    (application,) = serve.status().applications.values()
    return sum(
        number
        for deployment in application.deployments.values()
        for state, number in deployment.replica_states.items()
        if state == "RUNNING"
    )


def _simulated(replicas: int, hop: float, span: float) -> tuple[float, float]:
    """Return what the simulation says of the same load: jobs in a second, and the median latency."""
    size = Waiting.batch_size
    cluster = Cluster(size, BATCH_SECONDS, 0.0, (replicas, replicas), 2 * size, hop)
    warm = _WARM * BATCH_SECONDS
    said = Simulation(cluster, Load(warm + span, clients=2 * size * replicas)).run()
    later = [took for took, at in zip(said.latencies, said.answered, strict=True) if at > warm]
    return said.throughput(warm), statistics.median(later)
