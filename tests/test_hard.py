"""The benchmarks of hostile files and of the soak say what is not as it should be, and write what they measured."""

from collections import Counter
from pathlib import Path

import pytest

from benchmarks import hostile, report, simulation
from benchmarks.machine import Usage
from benchmarks.soak import Options, Result, clients, cluster, copies, instances, lifecycle
from benchmarks.soak.__main__ import main
from benchmarks.soak.clients import Seen
from benchmarks.soak.lifecycle import Taken
from tests.conftest import INPUT

NOTHING_LEFT = Usage(300, 350, 9, 146, 1)


def seen(*statuses: int, seconds: float = 1.0) -> Seen:
    return Seen(Counter(statuses), [seconds] * max(len(statuses), 2))


def test_hostile_files_meet_the_real_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(report, "README", tmp_path / "README.md")
    report.README.write_text("<!-- hostile: begin -->\n<!-- hostile: end -->\n", encoding="utf-8")
    files = tmp_path / "files"
    (files / "below").mkdir(parents=True)
    (files / "good.png").write_bytes((INPUT / "note.png").read_bytes())
    (files / "below" / "cut.png").write_bytes((INPUT / "note.png").read_bytes()[:900])
    (files / "none.txt").write_bytes(b"no image")
    assert hostile.main([str(files), "--models", "efficientnet-gru", "--write"]) == 0
    written = report.README.read_text(encoding="utf-8")
    for status in (200, 415, 422):
        assert f"| `efficientnet-gru` | 2 | {status} |" in written
    assert "| and again |" in written
    assert written.splitlines()[1] in capsys.readouterr().out


def test_the_soak_says_what_is_wrong() -> None:
    alone = seen(200, 200)
    assert not list(clients.wrong(alone, {"good": seen(200, 429, 503)}, NOTHING_LEFT, NOTHING_LEFT))
    assert "good: {500: 1}" in list(clients.wrong(alone, {"good": seen(200, 500)}, NOTHING_LEFT, NOTHING_LEFT))
    assert "huge: {0: 2}" in list(clients.wrong(alone, {"good": alone, "huge": seen(0, 0)}, NOTHING_LEFT, NOTHING_LEFT))
    (slow,) = clients.wrong(alone, {"good": seen(200, seconds=2.5)}, NOTHING_LEFT, NOTHING_LEFT)
    assert "2.5 times as long" in slow
    (grown,) = clients.wrong(alone, {"good": alone}, NOTHING_LEFT, Usage(400, 450, 9, 146, 1))
    assert "memory grew from 300 to 400 MB" in grown
    (left,) = clients.wrong(alone, {"good": alone}, NOTHING_LEFT, Usage(300, 350, 9, 160, 1))
    assert "threads" in left


def test_what_instances_leave_and_lose_is_said() -> None:
    fine, usages = {"keep": seen(200), "half": seen(401, 401)}, [NOTHING_LEFT, NOTHING_LEFT]
    assert not list(instances.wrong(fine, usages, usages, []))
    assert "keep: not only 200: {200: 1, 0: 1}" in instances.wrong(fine | {"keep": seen(200, 0)}, usages, usages, [])
    assert "half: not only 401: {200: 1}" in instances.wrong(fine | {"half": seen(200)}, usages, usages, [])
    (grown,) = instances.wrong(fine, usages, [NOTHING_LEFT, Usage(600, 650, 9, 146, 1)], [])
    assert grown.startswith("instance 2: memory grew")
    (left,) = instances.wrong(fine, usages, usages, [".partial-1"])
    assert ".partial-1" in left


def test_memory_that_does_not_come_back_is_said() -> None:
    gone, kept, tiny = Taken(300, 800, 310), Taken(300, 800, 500), Taken(300, 310, 310)
    taken = {name: Taken(*(size * 10**6 for size in one)) for name, one in [("a", gone), ("b", kept), ("c", tiny)]}
    (what,) = lifecycle.wrong(taken, Counter({200: 9}))
    assert what == "b: 60% of its memory came back"
    assert "requests failed: {503: 1}" in lifecycle.wrong({}, Counter({200: 9, 503: 1}))
    assert list(lifecycle.wrong({}, Counter())) == ["no request was sent"]
    assert "too little to tell" in lifecycle.text(taken, Counter({200: 9}))


def test_the_soak_runs_what_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    told: list[Options] = []

    def found(options: Options) -> Result:
        told.append(options)
        return Result("| a table |", ["memory grew"])

    monkeypatch.setattr(clients, "soak", found)
    assert main(["clients", "--minutes", "0.5", "--model-paths", "blip-base=here"]) == 1
    assert told == [Options(0.5, "blip-base=here")]
    assert capsys.readouterr().out.endswith("| a table |\nmemory grew\n")
    with pytest.raises(SystemExit, match="2"):
        main(["nonesuch"])


def test_copies_say_what_is_not_as_it_should_be() -> None:
    fine = copies.Seen([1.0, 1.0], Counter({200: 2}), cached=1)
    both = Counter({"killed": 1, "stopped": 1})
    assert list(copies.wrong(fine, both)) == []
    lost = copies.Seen([1.0, 1.0], Counter({200: 1, 0: 1}), cached=1, wrong=["7: other words"])
    assert len(list(copies.wrong(lost, both))) == 2
    assert len(list(copies.wrong(fine, Counter({"stopped": 1})))) == 1


def test_a_cluster_says_what_is_not_as_it_should_be() -> None:
    rates, said = {1: (2.0, 4.0), 2: (3.9, 4.0), 8: (15.0, 4.1)}, {1: (2.0, 4.0), 2: (4.0, 4.0), 8: (16.0, 4.0)}
    calm, slow = cluster.Seen([1.0] * 20), cluster.Seen([6.0] * 20, wrong=["job 3: job 4"])
    assert list(cluster.wrong((0.006, 0.001), rates, said, (calm, calm), 3)) == []
    assert len(list(cluster.wrong((0.020, 0.001), rates, said, (calm, calm), 3))) == 1
    assert len(list(cluster.wrong((0.006, 0.001), rates, said, (calm, slow), 0))) == 3
    assert len(list(cluster.wrong((0.006, 0.001), {**rates, 8: (10.0, 4.0)}, said, (calm, calm), 3))) == 2


def test_the_simulation_counts_what_can_be_reckoned() -> None:
    always = simulation.Cluster(batch=4, fixed=1.0, each=0.25, replicas=(3, 3), ongoing=8, hop=0.0)
    seen = simulation.Simulation(always, simulation.Load(200, clients=24)).run()
    # Batches of four, of two seconds each, at three replicas; a client waits for the batch before its own.
    assert seen.throughput(20) == pytest.approx(6.0, rel=0.02)
    assert seen.quantile(0.5) == pytest.approx(4.0, rel=0.05)
    lone = simulation.Simulation(always, simulation.Load(2000, rate=0.01)).run()
    assert lone.quantile(0.5) == pytest.approx(1.25, rel=0.02)
    growing = simulation.Cluster(batch=4, each=0.25, replicas=(1, 8), ongoing=8, start=10)
    busy = simulation.Simulation(growing, simulation.Load(300, rate=12)).run()
    assert 3 <= busy.most_replicas <= 8
    assert busy.throughput(100) == pytest.approx(12, rel=0.1)
