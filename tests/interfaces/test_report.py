"""The report: one harmless file that holds what was recorded."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch

from amphid.interfaces import report_data
from amphid.interfaces.report import write_report
from amphid.simulation import Recording, Spikes, batch, pulse
from amphid.wiring import Cells, Connections, Connectome
from amphid.wiring.celegans import celegans
from amphid.wiring.signs import by_transmitter

HOSTILE = '</script><img src=x onerror="alert(1)">\'&amp;<!--<script>'
WORM = celegans(signs=by_transmitter)
PARTS = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}
TYPES = {"low": "<f4", "span": "<f4", "rest": "<f4", "value": "<u2"}


def network(size=11, **columns):
    pre, post = np.arange(size), (np.arange(size) + 1) % size
    names = columns.pop("name", [f"c{i}" for i in range(size)])
    return Connectome(Cells(names, **columns), Connections(pre, post, sign=1), name="ring")


def recording(wires, *shape, steps=53, spiking=False, every=1, seed=3):
    generator = torch.Generator().manual_seed(seed)
    fields, events = {}, None
    if spiking:
        spike = torch.rand(steps, *shape, len(wires), generator=generator) > 0.9
        events = Spikes(spike.nonzero().T, tuple(spike.shape), 0.5)
    else:
        v = torch.randn(steps // every, *shape, len(wires), generator=generator) * 20 - 60
        fields = {"release": v.sigmoid(), "v": v}
    return Recording(wires.cells, dt=0.5, every=every, fields=fields, events=events, notes=("how",))


def written(path, *args, **kwargs):
    """The text of the page and what it carries."""
    text = write_report(path / "report.html", *args, title="A run", **kwargs).read_text("utf-8")
    (data,) = re.findall(r'<script type="application/json" id="run">(.*?)</script>', text, re.S)
    return text, json.loads(data)


def unpacked(text, dtype):
    return np.frombuffer(base64.b64decode(text), dtype=dtype)


def values_of(data, name):
    """Values [N, F] of a variable, from what the page carries."""
    (field,) = [field for field in data["fields"] if field["name"] == name]
    low, span, rest, code = (unpacked(field[key], dtype) for key, dtype in TYPES.items())
    code = code.reshape(len(low), -1)
    value = low[:, None] + span[:, None] * (code / (report_data.MISSING - 1))
    return np.where(code == report_data.MISSING, np.nan, value), span, rest


class Tags(HTMLParser):
    """All tags and attributes, and the text of table rows."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.values, self.cells = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.values += [(tag, name, value or "") for name, value in attrs]
        if tag == "tr":
            self.cells.append([])

    def handle_data(self, data):
        if self.cells:
            self.cells[-1].append(data)


def test_the_page_loads_nothing_and_forbids_it(tmp_path):
    wires = network()
    text, _ = written(tmp_path, recording(wires), wires)
    parsed = Tags(text)
    links = [v for _, name, v in parsed.values if name in ("src", "href", "action", "data")]
    assert links == ["data:,"]
    assert not {"iframe", "object", "embed", "img", "form", "base"} & set(parsed.tags)
    assert not [name for _, name, _ in parsed.values if name.startswith("on") or name == "style"]
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.S)
    assert "url(" not in style
    assert "@import" not in style
    (policy,) = [v for _, name, v in parsed.values if name == "content" and "default-src" in v]
    assert policy.startswith("default-src 'none'; ")
    scripts = re.findall(r"<script>(.*?)</script>", text, re.S)
    for inline in (*scripts, style):
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy


def test_hostile_texts_are_shown_and_do_nothing(tmp_path):
    names = [HOSTILE, *[f"c{i}" for i in range(10)]]
    columns = dict.fromkeys(("kind", "cell_class", "transmitter"), HOSTILE)
    wires = network(name=names, **columns)
    wires = Connectome(wires.cells, wires.connections, name=HOSTILE, references=(HOSTILE,))
    run = recording(wires)
    run = Recording(wires.cells, dt=0.5, fields={HOSTILE: run.v}, notes=(HOSTILE,))
    path = write_report(
        tmp_path / "report.html",
        run,
        wires,
        title=HOSTILE,
        command=HOSTILE,
        python=HOSTILE,
        facts={HOSTILE: HOSTILE},
        stimulated=[HOSTILE],
        assumptions=[HOSTILE],
    )
    text = path.read_text("utf-8")
    parsed = Tags(text)
    assert parsed.tags.count("script") == 2
    assert "img" not in parsed.tags
    assert "<!--" not in text
    assert "onerror" not in {name for _, name, _ in parsed.values}
    (data,) = re.findall(r'<script type="application/json" id="run">(.*?)</script>', text, re.S)
    assert not set(data) & set(PARTS)
    assert json.loads(data)["cells"]["name"][0] == HOSTILE
    assert sum(HOSTILE in "".join(row) for row in parsed.cells) > 4


def test_values_of_every_variable_are_carried(tmp_path):
    wires = network()
    run = recording(wires)
    _, data = written(tmp_path, run, wires)
    assert [field["name"] for field in data["fields"]] == ["v", "release"]
    np.testing.assert_allclose(data["time"], run.time, rtol=1e-5)
    for name, expected in run.fields.items():
        value, span, rest = values_of(data, name)
        error = np.abs(value - expected.T.numpy())
        assert (error <= span[:, None] * 1e-5 + 1e-5).all()
        np.testing.assert_array_equal(rest, expected[0])


def test_constant_and_broken_values_are_carried_as_they_are(tmp_path):
    wires = network()
    run = recording(wires)
    run.v[:, 3], run.v[20:, 5] = -61.5, torch.nan
    run.v[30, 7] = torch.inf
    text, data = written(tmp_path, run, wires)
    value, _, _ = values_of(data, "v")
    assert (value[3] == -61.5).all()
    assert np.isnan(value[5, 20:]).all()
    assert np.isfinite(value[5, :20]).all()
    assert np.isnan(value[7]).sum() == 1
    assert "NaN" not in text[text.index('id="run"') : text.index("<script>")]


def test_spikes_are_carried_exactly(tmp_path):
    wires = network()
    run = recording(wires, spiking=True)
    text, data = written(tmp_path, run, wires)
    events = data["spikes"]
    np.testing.assert_allclose(unpacked(events["step"], "<u4") * events["dt"], run.spikes.time)
    np.testing.assert_array_equal(unpacked(events["cell"], "<u2"), run.spikes.cell)
    assert data["time"][-1] == run.duration
    assert '<th scope="col">Rate (Hz)</th>' in text


def test_spikes_with_a_gradient_are_carried_too(tmp_path):
    wires = network()
    spike = recording(wires, spiking=True).spike.requires_grad_()
    run = Recording(wires.cells, dt=0.5, fields={"spike": spike, "v": spike * 3})
    _, data = written(tmp_path, run, wires)
    assert len(unpacked(data["spikes"]["cell"], "<u2")) == spike.sum()
    assert [field["name"] for field in data["fields"]] == ["v"]


def test_the_table_ranks_by_response_from_just_before_the_stimulus(tmp_path):
    wires = network()
    v = torch.full((53, 11), -60.0)
    v[:9, 2] = -10.0  # before the stimulus: does not count
    v[9:, 2] = -60.0
    v[19, 4], v[30, 6] = -90.0, -35.5
    run = Recording(wires.cells, dt=0.5, fields={"v": v})
    touch = pulse(wires, "c6", start=5.0, stop=20.0, amplitude=1.0, duration=26.5, dt=0.5)
    text, data = written(tmp_path, run, wires, stimulus=touch)
    body = text[text.index("<thead>") : text.index("</table>")]
    rows = [[part.strip() for part in row if part.strip()] for row in Tags(body).cells]
    assert rows[1:3] == [
        ["c4", "\N{MINUS SIGN}30.0", "10"],
        ["c6", "stimulated", "+24.5", "15.5"],
    ]
    assert "Of the cells that were not stimulated, <b>c4</b> changed most" in text
    assert (data["onset"], data["during"], data["stimulated"]) == (5.0, [[5.0, 20.0]], [6])
    assert data["strongest"] == [4, 6]


def test_nothing_that_moves_is_said(tmp_path):
    wires = network()
    run = Recording(wires.cells, dt=0.5, fields={"v": torch.zeros(53, 11)})
    text, data = written(tmp_path, run, wires)
    assert "No cell responded." in text
    assert data["strongest"] == []


def test_many_short_stimuli_become_one_stretch(tmp_path):
    wires = network()
    run = recording(wires, steps=500)
    flicker = pulse(wires, "c1", amplitude=1.0, duration=250.0, dt=0.5)
    flicker.current[::2] = 0.0
    _, data = written(tmp_path, run, wires, stimulus=flicker)
    assert data["during"] == [[0.5, 250.0]]


def test_a_batch_shows_the_trial_that_is_asked_for(tmp_path):
    wires = network()
    run = recording(wires, 2, 3)
    text, data = written(tmp_path, run, wires, trial=4)
    np.testing.assert_allclose(values_of(data, "v")[0].T, run.v[:, 1, 1], atol=0.01)
    assert "4 of 6, counted from 0" in text
    spiking = recording(wires, 2, 3, spiking=True)
    _, data = written(tmp_path, spiking, wires, trial=4)
    assert len(unpacked(data["spikes"]["cell"], "<u2")) == spiking.spike[:, 1, 1].sum()


def test_the_stimulus_of_a_batch_is_that_of_the_trial(tmp_path):
    wires = network()
    times = {"start": 5.0, "amplitude": 1.0, "duration": 26.5, "dt": 0.5}
    both = batch(pulse(wires, "c1", stop=9.0, **times), pulse(wires, "c1", stop=7.0, **times))
    _, data = written(tmp_path, recording(wires, 2), wires, stimulus=both, trial=1)
    assert data["during"] == [[5.0, 7.0]]


def test_some_cells_of_a_network_are_shown_with_the_connections_among_them(tmp_path):
    wires = network()
    run = recording(wires)["c7", "c8", "c2"]
    touch = pulse(wires, "c8", "c5", amplitude=1.0, duration=26.5, dt=0.5)
    _, data = written(tmp_path, run, wires, stimulus=touch)
    assert data["cells"]["name"] == ["c7", "c8", "c2"]
    assert unpacked(data["connections"]["pre"], "<u2").tolist() == [0]
    assert unpacked(data["connections"]["post"], "<u2").tolist() == [1]
    assert data["stimulated"] == [1]


def test_traces_keep_the_extremes_of_every_stretch(tmp_path):
    wires = network()
    run = recording(wires, steps=20_011)
    run.v[7_777, 5], run.v[13_013, 9] = 400.0, -500.0
    _, data = written(tmp_path, run, wires)
    time = unpacked(data["traces"]["time"], "<f4")
    value = unpacked(data["traces"]["value"], "<f4").reshape(-1, len(time))
    assert len(time) <= report_data.POINTS + 2
    assert (np.diff(time) >= 0).all()
    for cell, extreme, step in ((5, 400.0, 7_778), (9, -500.0, 13_014)):
        row = value[data["traces"]["cells"].index(cell)]
        assert time[row == extreme] == pytest.approx(step * 0.5, abs=0.5 * 20_011 / 800)


def test_the_worm_fits_in_two_megabytes(tmp_path):
    run = recording(WORM, steps=4_000)
    path = write_report(tmp_path / "report.html", run, WORM, title="Worm")
    assert path.stat().st_size < 2_000_000
    text = path.read_text("utf-8")
    assert "95 cells without a known position stand in rows" in text
    assert all(reference.split(",")[0] in text for reference in WORM.references)


def test_of_a_large_network_a_sample_is_carried_and_the_page_says_so(tmp_path):
    wires = network(100_003)
    run = recording(wires, steps=40)
    run.v[20, 77_777] = 1e4
    spikes = Spikes(torch.randint(40, (2, 10**6)).sort().values, (40, 100_003), 0.5)
    run = Recording(wires.cells, dt=0.5, fields={"v": run.v}, events=spikes)
    driven = [f"c{i}" for i in range(50_000, 50_007)]
    path = write_report(tmp_path / "report.html", run, wires, title="Big", stimulated=driven)
    assert path.stat().st_size < 10_000_000
    text = path.read_text("utf-8")
    data = json.loads(text[text.index('id="run">') + 9 : text.index("</script>")])
    shown = data["cells"]["name"]
    assert set(driven) <= set(shown)
    assert len(shown) < report_data.CELLS
    assert f"The figures show {len(shown):,} of 100,003 cells" in text
    assert len(unpacked(data["spikes"]["cell"], "<u2")) <= report_data.EVENTS


def test_of_many_quiet_cells_the_strongest_are_carried(tmp_path):
    wires = network(5_003)
    run = recording(wires, steps=40)
    run.v[20, 4_321] = 1e4
    text, data = written(tmp_path, run, wires)
    assert len(data["cells"]["name"]) == report_data.CELLS
    assert data["cells"]["name"][data["strongest"][0]] == "c4321"
    assert "The figures show 2,000 of 5,003 cells" in text
    assert len(data["time"]) == 40


def test_unknown_positions_are_laid_out_and_the_page_says_so(tmp_path):
    wires = network(cell_class=["A"] * 5 + ["B"] * 6)
    _, data = written(tmp_path, recording(wires), wires)
    assert "Positions are not known" in data["place"]["note"]
    assert data["place"]["scale"] is None
    assert [mark[0] for mark in data["place"]["marks"]] == ["A", "B"]
    assert np.abs(unpacked(data["place"]["point"], "<f4")).max() <= 1.0


def test_facts_are_added_or_put_in_the_place_of_known_ones(tmp_path):
    wires = network()
    facts = {"Stimulus": "none", "Network": "my ring"}
    text, _ = written(tmp_path, recording(wires, every=3), wires, facts=facts)
    rows = dict(re.findall(r'<tr><th scope="row">([^<]*)</th><td>([^<]*)</td></tr>', text))
    assert rows["Network"] == "my ring"
    assert rows["Stimulus"] == "none"
    assert rows["Duration"] == "25.5 ms in 51 steps of 0.5 ms"
    assert rows["Recorded"] == "release, v, every 1.5 ms"
    assert rows["Stepping"] == "how"
    assert "Stimulated" not in rows


def test_what_repeats_the_run_stands_there_as_typed(tmp_path):
    wires = network()
    text, _ = written(
        tmp_path,
        recording(wires),
        wires,
        command='amphid simulate "a & b"',
        python="if 1 < 2:\n    x",
    )
    assert "<code>amphid simulate &quot;a &amp; b&quot;</code>" in text
    assert "<code>if 1 &lt; 2:\n    x</code>" in text
    bare, _ = written(tmp_path, recording(wires), wires)
    assert "Repeat it" not in bare


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        ({"path": "r.txt"}, ValueError, "a report ends in .html, got 'r.txt'"),
        ({"path": "no/r.html"}, FileNotFoundError, "there is no folder"),
        ({"trial": 1}, ValueError, "trial must be below 1.* got 1"),
        ({"trial": -1}, ValueError, "trial must be below 1.* got -1"),
        ({"stimulated": ["c99"]}, KeyError, "Did you mean"),
        ({"connectome": network(3)}, KeyError, "among 3 cells"),
        ({"run": Recording(network().cells, dt=0.5)}, ValueError, "11 cells, 0 ms: nothing"),
        (
            {"run": Recording(network().cells, dt=0.5, fields={"v": torch.zeros(1, 11)})},
            ValueError,
            "sampled at least twice",
        ),
        (
            {"stimulus": pulse(network(7), "c1", amplitude=1.0, duration=1.0, dt=0.5)},
            ValueError,
            "it was made for 7",
        ),
    ],
)
def test_what_cannot_be_reported_is_said_and_leaves_nothing(tmp_path, change, error, sentence):
    wires = network()
    given = {"path": "r.html", "run": recording(wires), "connectome": wires, **change}
    path, run, connectome = tmp_path / given.pop("path"), given.pop("run"), given.pop("connectome")
    with pytest.raises(error, match=sentence):
        write_report(path, run, connectome, title="A run", **given)
    assert not list(tmp_path.iterdir())


def test_an_older_report_stays_until_the_new_one_is_whole(tmp_path, monkeypatch):
    wires, path = network(), tmp_path / "r.html"
    path.write_text("old")

    def full(part, *_args, **_kwargs):
        part.write_bytes(b"half")
        raise OSError("the disk is full")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="full"):
        write_report(path, recording(wires), wires, title="A run")
    assert [entry.name for entry in tmp_path.iterdir()] == ["r.html"]
    assert path.read_text() == "old"


def test_a_title_that_is_no_text_is_written_with_question_marks(tmp_path):
    wires = network()
    path = write_report(tmp_path / "r.html", recording(wires), wires, title="a\udc80b")
    assert "<h1>a?b</h1>" in path.read_text("utf-8")
