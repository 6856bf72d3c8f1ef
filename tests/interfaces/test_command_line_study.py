"""`amphid study` and `amphid doctor`."""

from __future__ import annotations

import os

import pytest

from amphid.interfaces.command_line import doctor

DATA = os.environ.get("AMPHID_DATA")


class TestDoctor:
    """`amphid doctor`."""

    def test_a_healthy_installation_passes_its_own_run_of_the_worm(self, amphid) -> None:
        found = amphid("doctor", "--json").document
        assert found["healthy"]
        assert found["self_test"]["passed"]
        extras = {
            "plot",
            "search",
            "nir",
            "onnx",
            "neuroml",
            "nwb",
            "bci",
            "parquet",
            "notebook",
            "web",
            "quantum",
            "sklearn",
        }
        assert set(found["extras"]) == extras
        assert found["versions"]["torch"]

    def test_a_missing_extra_comes_with_its_install_line(self, amphid, monkeypatch) -> None:
        real = doctor._version
        monkeypatch.setattr(
            doctor, "_version", lambda name: None if name == "pynwb" else real(name)
        )
        shown = amphid("doctor")
        assert shown.code == 0
        assert "not installed: pip install 'amphid[nwb]'" in shown.out

    def test_a_worm_that_does_not_move_is_a_failure(self, amphid, monkeypatch) -> None:
        monkeypatch.setattr(doctor, "_touch", lambda _: 0.0)
        assert amphid("doctor").code == 1

    def test_a_run_that_breaks_is_told_and_is_a_failure(self, amphid, monkeypatch) -> None:
        def breaks(_):
            raise RuntimeError("no kernel image")

        monkeypatch.setattr(doctor, "_touch", breaks)
        shown = amphid("doctor")
        assert shown.code == 1
        assert "no kernel image" in shown.out

    def test_a_device_that_is_not_there_is_a_failure_that_names_it(self, amphid) -> None:
        shown = amphid("doctor", "--device", "nonsense")
        assert shown.code == 1
        assert "--device nonsense is not available" in shown.out


class TestStudy:
    """`amphid study`."""

    def test_the_list_has_every_study_with_its_claim(self, amphid) -> None:
        listed = amphid("study", "list", "--json").document
        assert [study["name"] for study in listed] == [
            "worm-classic",
            "worm-touch",
            "worm-forecast",
            "whole-fly-brain",
            "cortical-column",
            "digits-spiking",
            "digits-regularized",
            "digits-biophysical-bptt",
            "digits-biophysical",
            "digits-binary",
            "digits-without-training",
            "spike-replication",
            "search-digits",
            "cnn-hierarchy",
            "transfer",
            "inbreeding",
            "integration-memory",
            "fractional-memory",
            "autodiff-fails",
            "emergence-init",
            "emergence-pruning",
            "lottery-digits",
            "activity-persistence",
            "activity-persistence-quantum",
            "robot-arm",
            "neural-latents",
            "cursor-bci",
            "neurofeedback",
            "worm-behavior",
            "limited-data",
        ]
        assert all(study["claim"] and study["published"] for study in listed)

    def test_a_misspelled_study_brings_the_nearest(self, amphid) -> None:
        answer = amphid("study", "worm-tuch")
        assert answer.code == 2
        assert "Did you mean worm-touch" in answer.sentence

    def test_a_study_without_its_data_says_where_to_get_it(self, amphid) -> None:
        answer = amphid("study", "worm-classic")
        assert answer.code == 2
        assert "amphid connectome fetch worm-web-sim" in answer.sentence

    @pytest.mark.parametrize(
        ("holds", "word"), [(True, "HOLDS"), (False, "DOES NOT"), (None, "COULD")]
    )
    def test_a_claim_that_fails_is_a_result(self, amphid, monkeypatch, holds, word) -> None:
        stand_in(monkeypatch, holds)
        shown = amphid("study", "stand-in", "--seed", "3")
        assert shown.code == 0
        assert word in shown.out
        assert "left.sum\t7\t5\n" in shown.out
        document = amphid("study", "stand-in", "--seed", "3", "--json").document
        assert list(document) == [
            "study", "claim", "measured", "reference", "control", "assumptions", "seeds", "seconds",
            "holds",
        ]  # fmt: skip
        assert document["holds"] is holds
        assert document["seeds"] == [3]
        assert document["measured"]["left"]["spread"] is None

    def test_out_keeps_the_report_and_what_it_ran_with(self, amphid, monkeypatch, tmp_path) -> None:
        stand_in(monkeypatch, True)
        assert amphid("study", "stand-in", "--out", "kept", "--full").code == 0
        assert sorted(os.listdir("kept")) == ["config.toml", "report.json", "run.json"]
        assert "full = true" in (tmp_path / "kept" / "config.toml").read_text()
        assert amphid("study", "stand-in", "--out", "kept").code == 2

    def test_a_study_that_breaks_is_a_failure(self, amphid, monkeypatch) -> None:
        stand_in(monkeypatch, RuntimeError("no convergence."))
        answer = amphid("study", "stand-in")
        assert answer.code == 1
        assert "no convergence" in answer.sentence


def stand_in(monkeypatch: pytest.MonkeyPatch, outcome: object) -> None:
    from amphid.interfaces.command_line import study as command
    from amphid.studies import Findings, Settings, Study

    class StandIn(Study):
        name, claim, published = "stand-in", "It is as published.", "7"

        def measure(self, settings: Settings) -> Findings:
            settings.tell("half", 1, 2)
            if isinstance(outcome, Exception):
                raise outcome
            measured = {"left": {"sum": 7, "spread": float("nan")}}
            return Findings(
                measured=measured,
                reference={"left": {"sum": 5}},
                control={"shuffled": 3},
                assumptions=("The moon is full.",),
                seeds=(settings.seed,),
                holds=outcome,
            )

    monkeypatch.setattr(command, "studies", lambda: {"stand-in": StandIn()})


def test_the_published_traces_are_reproduced_from_the_command_line(amphid, monkeypatch) -> None:
    if not DATA:
        pytest.skip("AMPHID_DATA is not set")
    monkeypatch.setenv("AMPHID_DATA", DATA)
    assert amphid("study", "worm-classic", "--json").document["holds"] is True
