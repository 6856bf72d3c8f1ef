"""Searches: what is tried, what is counted, what survives."""

import math
from pathlib import Path

import pytest

from amphid import learning
from amphid.learning import GP, TPE, Choice, Grid, Integers, LogUniform, Random, Uniform

optuna = pytest.importorskip("optuna", reason="searches need optuna")

SPACE = {
    "lr": LogUniform(1e-4, 1e-1),
    "layers": Integers(1, 3),
    "kind": Choice("a", "b"),
    "beta": Uniform(-1.0, 1.0),
}


def bowl(trial):
    return (math.log10(trial["lr"]) + 2) ** 2 + trial["beta"] ** 2 + (trial["kind"] == "b")


def tried(found):
    return [(dict(one.settings), one.value) for one in found.trials]


@pytest.mark.parametrize("sampler", [Random(seed=3), TPE(seed=3, startup=3), GP(seed=3, startup=3)])
def test_a_search_gives_the_same_bit_for_bit_interrupted_or_not(sampler, tmp_path):
    whole = learning.search(bowl, SPACE, trials=7, sampler=sampler)
    calls = []

    def dies(trial):
        calls.append(trial.number)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return bowl(trial)

    place = tmp_path / "search.journal"
    with pytest.raises(KeyboardInterrupt):
        learning.search(dies, SPACE, trials=7, sampler=sampler, storage=place)
    resumed = learning.search(bowl, SPACE, trials=7, sampler=sampler, storage=place)
    assert tried(resumed) == tried(whole)
    assert tried(learning.search(bowl, SPACE, trials=7, sampler=sampler)) == tried(whole)
    assert len(learning.search(bowl, SPACE, trials=7, storage=place).trials) == 7


def test_other_seeds_try_other_settings():
    first, other = (
        learning.search(bowl, SPACE, trials=3, sampler=Random(seed=seed)) for seed in (0, 1)
    )
    assert not {one.settings["lr"] for one in first.trials} & {
        one.settings["lr"] for one in other.trials
    }


def test_settings_have_their_kinds_and_bounds():
    for one in learning.search(bowl, SPACE, trials=23, sampler=Random()).trials:
        lr, layers, kind, beta = one.settings.values()
        assert 1e-4 <= lr <= 1e-1
        assert layers in (1, 2, 3)
        assert isinstance(layers, int)
        assert kind in ("a", "b")
        assert -1 <= beta <= 1


def test_a_grid_tries_every_combination_once_and_the_ends_exactly():
    found = learning.search(bowl, SPACE, sampler=Grid(points=5))
    combinations = {tuple(one.settings.values()) for one in found.trials}
    assert len(found.trials) == len(combinations) == 5 * 3 * 2 * 5
    assert {min(c[0] for c in combinations), max(c[0] for c in combinations)} == {1e-4, 1e-1}
    assert found.value == 0.0 or found.value == pytest.approx(1 / 16)


def test_the_best_of_a_search_that_maximizes_is_the_largest():
    found = learning.search(lambda trial: trial["beta"], SPACE, trials=11, maximize=True)
    assert found.value == max(one.value for one in found.trials)
    assert found.history()[-1][2] == found.value


def test_options_may_be_anything_with_a_name():
    space = {"make": Choice(math.sin, math.cos), "part": Choice(one=object(), other=object())}
    found = learning.search(lambda trial: trial["make"](0.0), space, sampler=Grid())
    assert found.best.settings["make"] is math.sin
    assert {one.stored["part"] for one in found.trials} == {"one", "other"}


def test_poor_trials_are_pruned_and_count():
    def slow(trial):
        for epoch in range(5):
            trial.report(trial["beta"] + 1 / (epoch + 1))
        return trial["beta"]

    pruner = optuna.pruners.MedianPruner(n_startup_trials=3)
    found = learning.search(slow, SPACE, trials=17, sampler=Random(), pruner=pruner)
    pruned = [one for one in found.trials if one.state == "pruned"]
    assert len(found.trials) == 17
    assert pruned
    assert all(len(one.reports) < 5 for one in pruned)
    assert min(one.settings["beta"] for one in pruned) > found.value


def test_nan_and_caught_errors_are_failed_trials():
    def breaks(trial):
        if trial["kind"] == "a":
            raise FloatingPointError("too large")
        return math.nan if trial["layers"] == 1 else trial["lr"]

    found = learning.search(breaks, SPACE, sampler=Grid(2), catch=(FloatingPointError,))
    states = {one.notes.get("error"): one.state for one in found.trials}
    assert len(found.trials) == 24
    assert states == {
        "FloatingPointError: too large": "failed",
        "the objective gave nan": "failed",
        None: "complete",
    }


def test_an_error_ends_the_search_and_its_trial_is_repeated_with_the_same_settings(tmp_path):
    seen = []

    def breaks_once(trial):
        seen.append(dict(trial))
        if len(seen) == 2:
            raise ZeroDivisionError
        return trial["lr"]

    place = tmp_path / "s"
    with pytest.raises(ZeroDivisionError):
        learning.search(breaks_once, SPACE, trials=3, storage=place)
    found = learning.search(breaks_once, SPACE, trials=3, storage=place)
    assert len(found.trials) == 3
    assert seen[2] == seen[1]


def test_a_trial_that_kills_every_time_counts_as_failed_in_the_end(tmp_path):
    def breaks(trial):
        if trial["kind"] == "b":
            raise ZeroDivisionError
        return trial["lr"]

    def again():
        return learning.search(
            breaks, {**SPACE, "lr": Choice(1, 2)}, sampler=Grid(1), storage=tmp_path / "s",
            attempts=2,
        )  # fmt: skip

    for _ in range(2 * 6):
        with pytest.raises(ZeroDivisionError):
            again()
    found = again()
    assert [one.state for one in found.trials].count("failed") == 6
    assert len(found.trials) == 12


def test_importance_finds_the_setting_that_matters():
    found = learning.search(lambda trial: trial["beta"] ** 2, SPACE, trials=61, sampler=Random())
    shares = found.importance()
    assert next(iter(shares)) == "beta"
    assert sum(shares.values()) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="at least 10"):
        learning.search(bowl, SPACE, trials=3).importance()


def test_samplers_of_optuna_serve_as_they_are():
    found = learning.search(
        lambda trial: trial["x"],
        {"x": Uniform(0.0, 1.0)},
        trials=5,
        sampler=optuna.samplers.RandomSampler(seed=1),
    )
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    plain = [study.ask().suggest_float("x", 0.0, 1.0) for _ in range(5)]
    assert [one.value for one in found.trials] == plain


def test_notes_and_reports_are_kept(tmp_path):
    def noting(trial):
        trial.report(2.0)
        trial.report(1.5, step=4)
        trial.note(accuracy=0.5, curve=[1, 2])
        return 1

    learning.search(noting, SPACE, trials=2, storage=tmp_path / "s")
    one = learning.found(tmp_path / "s", SPACE).trials[1]
    assert one.reports == {0: 2.0, 4: 1.5}
    assert one.notes == {"accuracy": 0.5, "curve": [1, 2]}


def test_a_record_that_was_cut_short_is_removed_by_the_next(tmp_path):
    place = tmp_path / "s"
    learning.search(bowl, SPACE, trials=3, storage=place)
    with place.open("ab") as file:
        file.write(b'{"op_code":6,"worker')
    found = learning.search(bowl, SPACE, trials=5, storage=place)
    assert len(found.trials) == 5
    assert b'"worker{' not in place.read_bytes()


def test_what_is_no_search_is_refused_and_left_alone(tmp_path):
    place = tmp_path / "thesis.txt"
    place.write_text("Once upon a time")
    with pytest.raises(ValueError, match="no journal"):
        learning.search(bowl, SPACE, trials=1, storage=place)
    assert place.read_text() == "Once upon a time"
    place.write_text('{"op_code":0,"x":1}\nnonsense\n')
    with pytest.raises(ValueError, match="damaged"):
        learning.search(bowl, SPACE, trials=1, storage=place)
    with pytest.raises(FileNotFoundError, match="no folder"):
        learning.search(bowl, SPACE, trials=1, storage=tmp_path / "no" / "where")
    with pytest.raises(ValueError, match="cannot be opened"):
        learning.search(bowl, SPACE, trials=1, storage=f"sqlite:///{tmp_path}/no/where.db")
    broken = tmp_path / "broken.db"
    broken.write_text("not a database at all, just text " * 40)
    with pytest.raises(ValueError, match="cannot be opened"):
        learning.search(bowl, SPACE, trials=1, storage=f"sqlite:///{broken}")
    with pytest.raises(FileNotFoundError, match="no search"):
        learning.found(tmp_path / "nothing", SPACE)


def test_another_space_or_direction_in_the_same_storage_is_refused(tmp_path):
    learning.search(bowl, SPACE, trials=1, storage=tmp_path / "s")
    other = {**SPACE, "beta": Uniform(0.0, 1.0)}
    with pytest.raises(ValueError, match="beta differ"):
        learning.search(bowl, other, trials=2, storage=tmp_path / "s")
    with pytest.raises(ValueError, match="minimized"):
        learning.search(bowl, SPACE, trials=2, storage=tmp_path / "s", maximize=True)
    assert learning.search(bowl, SPACE, trials=2, storage=tmp_path / "s", name="other").trials


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Uniform(1.0, 1.0), "low must be below high"),
        (lambda: Uniform("0", 1.0), "finite numbers"),
        (lambda: LogUniform(0.0, 1.0), "above 0"),
        (lambda: Integers(1.5, 3), "whole numbers"),
        (lambda: Integers(0, 3, log=True), "1 or above"),
        (lambda: Choice("one"), "at least two"),
        (lambda: Choice(1, 1.0), "twice"),
        (lambda: Choice(object(), object()), "give it one"),
        (lambda: Grid(points=0), "at least 1"),
        (lambda: learning.search(bowl, {}, trials=1), "dictionary"),
        (lambda: learning.search(bowl, {"x": (0, 1)}, trials=1), "Uniform"),
        (lambda: learning.search(bowl, SPACE), "trials="),
        (lambda: learning.search(bowl, SPACE, trials=0), "1 or more"),
        (lambda: learning.search(bowl, SPACE, trials=1, sampler="tpe"), "sampler"),
        (lambda: learning.search(bowl, SPACE, trials=1, storage=7), "storage"),
        (lambda: learning.search(3, SPACE, trials=1), "function"),
        (lambda: learning.search(lambda _: "x", SPACE, trials=1), "one number"),
        (lambda: learning.search(lambda t: t["nu"], SPACE, trials=1), "no 'nu'"),
    ],
)
def test_nonsense_gets_a_sentence(make, sentence):
    with pytest.raises((ValueError, TypeError, KeyError), match=sentence):
        make()


def test_no_file_of_a_worker_stays_behind(tmp_path):
    learning.search(bowl, SPACE, trials=1, storage=tmp_path / "s")
    assert [path.name for path in Path(tmp_path).iterdir()] == ["s"]
