"""Weights in files: what comes back is what was written, or a sentence."""

import pytest
import torch
from torch import nn

from amphid import dynamics
from amphid.interfaces.weights import load_weights, save_weights


def layers(**changes):
    tau = nn.Parameter(torch.full((7,), 11.0))
    return nn.Sequential(
        nn.Linear(5, 7), dynamics.LIF(**{"tau": tau, **changes}), nn.BatchNorm1d(7), nn.Linear(7, 3)
    )


def test_weights_come_back_bit_for_bit_with_their_notes(tmp_path):
    first, other = layers(), layers()
    notes = {"trained on": "digits"}
    path = save_weights(first, tmp_path / "net.safetensors", notes=notes)
    assert load_weights(other, path) == notes
    for name, held in first.state_dict().items():
        assert torch.equal(other.state_dict()[name], held)
    assert [held.name for held in tmp_path.iterdir()] == ["net.safetensors"]


def test_tied_weights_stay_tied(tmp_path):
    def tied():
        one = nn.Linear(5, 5)
        return nn.Sequential(one, one)

    first, other = tied(), tied()
    load_weights(other, save_weights(first, tmp_path / "net.safetensors"))
    assert other[0].weight is other[1].weight
    assert torch.equal(other[0].weight, first[0].weight)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"v_threshold": -40.0}, "1.v_threshold is -50.0, not -40.0"),
        ({"surrogate": dynamics.Arctan()}, r"1.surrogate is FastSigmoid.*, not Arctan"),
        ({"reset_gradient": True}, "1.reset_gradient is False, not True"),
    ],
)
def test_other_equations_are_refused_unless_wanted(changes, sentence, tmp_path):
    path = save_weights(layers(), tmp_path / "net.safetensors")
    other = layers(**changes)
    before = other[0].weight.clone()
    with pytest.raises(ValueError, match=sentence):
        load_weights(other, path)
    assert torch.equal(other[0].weight, before)
    load_weights(other, path, anyway=True)
    assert not torch.equal(other[0].weight, before)


def test_what_does_not_fit_gets_a_sentence_and_changes_nothing(tmp_path):
    path = save_weights(layers(), tmp_path / "net.safetensors")
    with pytest.raises(ValueError, match=r"lacks 0\.bias"):
        load_weights(nn.Sequential(nn.Linear(2, 2)), save_weights(nn.Identity(), path))
    path = save_weights(layers(), path)
    with pytest.raises(ValueError, match=r"has, but the module has not, 1\.tau"):
        load_weights(layers(tau=11.0), path)
    with pytest.raises(ValueError, match=r"1\.tau has shape \[7\]"):
        load_weights(layers(tau=nn.Parameter(torch.ones(1))), path)
    with pytest.raises(ValueError, match="must end in"):
        save_weights(layers(), tmp_path / "net.pt")
    with pytest.raises(FileNotFoundError, match="no folder"):
        save_weights(layers(), tmp_path / "no" / "net.safetensors")
    with pytest.raises(FileNotFoundError, match="no file"):
        load_weights(layers(), tmp_path / "none.safetensors")
    with pytest.raises(ValueError, match="is a folder"):
        load_weights(layers(), tmp_path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="cannot be read as safetensors"):
        load_weights(layers(), path)


def test_files_of_others_load_without_a_word_on_equations(tmp_path):
    from safetensors.torch import save_file

    first, other = nn.Linear(3, 2), nn.Linear(3, 2)
    save_file(first.state_dict(), tmp_path / "net.safetensors")
    assert load_weights(other, tmp_path / "net.safetensors") == {}
    assert torch.equal(first.weight, other.weight)
