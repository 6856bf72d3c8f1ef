"""Searches that several processes share, and one of them is killed."""

import signal
import subprocess
import sys
import time

import pytest

from amphid import learning
from amphid.learning import Integers, Random

pytest.importorskip("optuna", reason="searches need optuna")

WORKER = """
import os, sys, time
from amphid import learning
from amphid.learning import Integers, Random
def objective(trial):
    with open(sys.argv[2], "a") as log:
        log.write(f"{os.getpid()} {trial.number}\\n")
    if sys.argv[3] == "hang" and trial.number >= 2:
        time.sleep(60)
    time.sleep(0.02)
    return trial["x"]
space = {"x": Integers(0, 1000)}
found = learning.search(objective, space, trials=15, sampler=Random(), storage=sys.argv[1],
                        patience=2.0)
print([one.number for one in found.trials])
"""


def start(storage, log, mode="work"):
    command = [sys.executable, "-c", WORKER, str(storage), str(log), mode]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("kind", ["journal", "database"])
def test_processes_share_a_search_and_one_that_is_killed_loses_nothing(kind, tmp_path):
    place = tmp_path / "s.journal" if kind == "journal" else f"sqlite:///{tmp_path / 's.db'}"
    log = tmp_path / "log"
    doomed = start(place, log, "hang")
    while not log.exists() or log.read_text().count("\n") < 3:
        assert doomed.poll() is None
        time.sleep(0.05)
    doomed.send_signal(signal.SIGKILL)
    doomed.communicate()
    workers = [start(place, log) for _ in range(2)]
    told = {worker.communicate(timeout=60)[0] for worker in workers}
    assert [worker.returncode for worker in workers] == [0, 0]
    assert len(told) == 1  # both saw the same search, whole
    found = learning.search(lambda _: 0.0, {"x": Integers(0, 1000)}, trials=15, storage=place)
    assert len(found.trials) == 15
    assert all(one.state == "complete" for one in found.trials)
    alone = learning.search(
        lambda trial: trial["x"], {"x": Integers(0, 1000)}, trials=15, sampler=Random()
    )
    assert sorted(one.value for one in found.trials) == sorted(one.value for one in alone.trials)
    began = [line.split()[1] for line in log.read_text().splitlines()]
    assert len(began) == len(set(began)) >= 16  # fifteen, and the one that was cut short
    if kind == "journal":  # where a worker that is only slow is never taken for dead
        assert len(began) == 16
