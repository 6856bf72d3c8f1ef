"""The page of a training: its log is thinned while it is read, its network looked at when asked."""

import json
import threading
import time
from itertools import pairwise
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
import torch
from torch import nn

from amphid.dynamics import LIF
from amphid.interfaces.command_line import main
from amphid.interfaces.command_line.train_options import Trainee
from amphid.interfaces.view.training import LOOKS, Log, Subject, logs_of, subject_of
from amphid.interfaces.view.training_server import read_all
from amphid.learning import fit


def made():
    draw = torch.Generator().manual_seed(0)
    linear = [nn.Linear(3, 5), nn.Linear(5, 2)]
    with torch.no_grad():
        for layer in linear:
            layer.weight.copy_(torch.randn(layer.weight.shape, generator=draw) * 3)
    x = torch.rand(11, 7, 3, generator=draw) * 300
    model = nn.Sequential(linear[0], LIF(), linear[1])
    y = torch.tensor([0, 1, 0, 1, 0, 1, 0])
    return Trainee(model, [(x, y)], lambda out, y: nn.functional.cross_entropy(out.mean(0), y))


@pytest.fixture
def folder(tmp_path):
    trainee = made()
    optimizer = torch.optim.SGD(trainee.model.parameters(), lr=0.1)
    fit(
        trainee.model, trainee.batches, trainee.loss, optimizer=optimizer, epochs=3, folder=tmp_path
    )
    return tmp_path


def written(path, lines):
    with path.open("w", encoding="utf-8") as file:
        file.writelines(
            json.dumps({"epoch": k, "loss": 1.0 / (k + 1)}) + "\n" for k in range(lines)
        )
    return Log(path)


def test_a_short_log_is_read_whole_and_a_line_that_is_cut_off_is_left(tmp_path):
    log = written(tmp_path / "metrics.jsonl", 7)
    with log.path.open("a") as file:
        file.write('3\nnot json\n{"epoch": 7, "lo')
    assert [row["epoch"] for row in log.rows()] == list(range(7))
    assert Log(tmp_path / "none.jsonl").rows() == []


def test_of_a_long_log_no_more_is_read_than_is_shown(tmp_path):
    log = written(tmp_path / "metrics.jsonl", 50_000)
    rows = log.rows(points=97)
    epochs = [row["epoch"] for row in rows]
    assert 90 <= len(rows) <= 98
    assert epochs == sorted(set(epochs))
    assert (epochs[0], epochs[-1]) == (0, 49_999)
    gaps = [b - a for a, b in pairwise(epochs)]
    assert max(gaps) < 3 * 50_000 / 97


def test_the_network_is_looked_at_before_and_now(folder):
    subject = Subject(made, folder)
    looked = subject.raster()
    assert [layer["cells"] for layer in looked["now"]] == [5]
    before, now = (looked[when][0]["value"] for when in ("before", "now"))
    assert (len(before), len(before[0])) == (5, 11)
    with torch.no_grad():
        first = made()
        given = first.model[1](first.model[0](first.batches[0][0]))[:, 0]
    assert before == given.T.tolist()
    assert len(now) == 5
    assert "gradient" in subject.gradients()["text"]
    assert "agrees best" in (told := subject.surrogates()["text"])
    assert told.endswith("From 4,096 losses of one batch; more by amphid.learning.surrogate_audit.")
    assert set(LOOKS) == {"raster", "gradients", "surrogates"}


def test_now_is_the_last_checkpoint_until_the_weights_at_the_end(folder):
    subject = Subject(made, folder)
    end = subject._now().model.state_dict()
    (folder / "model.safetensors").unlink()
    kept = subject._now().model.state_dict()
    assert all(torch.equal(end[name], kept[name]) for name in end)
    assert not torch.equal(end["0.weight"], made().model.state_dict()["0.weight"])
    for path in (folder / "checkpoints").iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match="no checkpoint yet"):
        subject.gradients()


def test_which_folders_are_trainings(folder, tmp_path_factory):
    assert logs_of(folder)
    assert not logs_of(tmp_path_factory.mktemp("other"))
    assert subject_of(folder) is None  # of a fit in Python: nothing tells how its model is made
    (folder / "config.toml").write_text('what = "nothing"\nunknown = 3\n')
    assert subject_of(folder) is None


def test_a_folder_of_several_trainings_is_all_of_their_logs(tmp_path):
    assert logs_of(tmp_path) == {}
    for name, lines in [("second", 5), ("first", 3)]:
        (tmp_path / name).mkdir()
        written(tmp_path / name / "metrics.jsonl", lines)
    (tmp_path / "other").mkdir()
    told = read_all(logs_of(tmp_path))
    assert [(run["name"], len(run["rows"])) for run in told["runs"]] == [
        ("first", 3),
        ("second", 5),
    ]
    assert len(told["rows"]) == 3


def test_a_folder_that_is_no_training_is_a_sentence(tmp_path, capsys):
    assert main(["view", str(tmp_path), "--no-browser"]) == 2
    assert "holds no metrics.jsonl" in capsys.readouterr().err


def test_the_server_tells_the_log_and_nothing_to_strangers(folder):
    uvicorn = pytest.importorskip("uvicorn", reason="needs the extra web")
    server = pytest.importorskip("amphid.interfaces.view.server")
    from amphid.interfaces.view.training_server import training_application

    listening = server._listening(0)
    door = server.Door(listening.getsockname()[1])
    running = uvicorn.Server(
        uvicorn.Config(training_application(folder, door), log_level="critical", lifespan="off")
    )
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.01)

    def ask(path, **words):
        told = "&".join(f"{name}={value}" for name, value in words.items())
        with urlopen(f"http://127.0.0.1:{door.port}{path}?{told}", timeout=60) as answer:
            return answer.status, answer.read().decode()

    status, text = ask("/rows", token=door.token)
    told = json.loads(text)
    assert (status, len(told["rows"]), told["looks"]) == (200, 3, False)
    assert ask("/rows", token=door.token, size=told["size"])[0] == 204
    (folder / "run.json").write_text('{"ended": "done"}')
    status, text = ask("/rows", token=door.token, size=told["size"], ended=told["ended"])
    assert (status, told["ended"], json.loads(text)["ended"]) == (200, "", "done")
    assert ask("/rows", token=door.token, size=told["size"], ended="done")[0] == 204
    assert "The network itself" in ask("/", token=door.token)[1]
    for path in ("/", "/rows", "/look/raster"):
        with pytest.raises(HTTPError, match="403") as refused:
            ask(path, token="guess")
        refused.value.close()
    with pytest.raises(HTTPError, match="404") as missing:
        ask("/look/raster", token=door.token)
    missing.value.close()
    running.should_exit = True
    thread.join(30)
    listening.close()
