"""What races say to arguments that make no sense, and to states of other networks."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from amphid.dynamics import LIF, ExponentialTrace, PowerTrace, StepTrace, Summing, Winner
from amphid.simulation import GeometricNetwork, Onsets, first_spikes, onsets, race
from amphid.wiring import conducted, geometric

PLACES = torch.rand(7, 3, generator=torch.Generator().manual_seed(3))
WIRED = conducted(geometric(PLACES, neighbors=3), speed=0.2)
NETWORK = GeometricNetwork(WIRED, Winner(5.0))
CELL, TIME = torch.arange(2), torch.zeros(2)
STRUCK = Onsets(CELL, TIME)
EDGES = torch.ones(21)
RUN = {"network": NETWORK, "stimulus": STRUCK, "duration": 5.0, "dt": 1.0}


@pytest.mark.parametrize("run", [race, first_spikes])
@pytest.mark.parametrize(
    ("settings", "error", "sentence"),
    [
        ({"network": WIRED}, TypeError, "network must be of GeometricNetwork, got Connectome"),
        ({"stimulus": torch.zeros(5, 7)}, TypeError, "stimulus must be of Onsets, got tensor"),
        ({"stimulus": []}, TypeError, "stimulus must be of Onsets"),
        ({"duration": "5"}, ValueError, "duration must be a number of ms"),
        ({"duration": math.nan}, ValueError, "duration must be a number of ms"),
        ({"dt": torch.tensor(1.0)}, ValueError, "dt must be a positive number of ms"),
        ({"dt": 0.0}, ValueError, "dt must be a positive number of ms"),
        ({"refractory": 5.0}, TypeError, "refractory must be a tensor"),
        ({"refractory": torch.full((7,), math.nan)}, ValueError, "not be negative or nan"),
        ({"refractory": -torch.ones(7)}, ValueError, "not be negative or nan"),
        ({"refractory": torch.ones(5)}, ValueError, "one entry per cell"),
        ({"threads": 0}, ValueError, "threads must be a whole number of at least 1"),
        ({"threads": -2}, ValueError, "threads must be a whole number of at least 1"),
        ({"threads": 1.5}, ValueError, "threads must be a whole number of at least 1"),
        ({"threads": "2"}, ValueError, "threads must be a whole number of at least 1"),
    ],
)  # fmt: skip
def test_nonsense_is_a_sentence(run, settings, error, sentence):
    with pytest.raises(error, match=sentence):
        run(**{**RUN, **settings})


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (lambda: GeometricNetwork("x", Winner(5.0)), TypeError, "connectome must be a Connectome"),
        (lambda: GeometricNetwork(WIRED, LIF()), TypeError, "receiver must be a Receiver"),
        (lambda: GeometricNetwork(WIRED, Winner(5.0), [1.0]), TypeError, "weight must be a tensor"),
        (lambda: GeometricNetwork(WIRED, Winner(5.0), EDGES * 1j), TypeError, "real numbers"),
        (lambda: GeometricNetwork(WIRED, Winner(5.0), EDGES.double() * 1e300), ValueError,
         "in single precision"),
        (lambda: Onsets(CELL > 0, TIME), TypeError, "cell must hold indices"),
        (lambda: Onsets(CELL * 1j, TIME), TypeError, "cell must hold indices"),
        (lambda: Onsets(CELL, TIME * 1j), TypeError, "time must be real"),
        (lambda: Onsets(CELL, TIME, weight="1"), TypeError, "weight a number or a tensor"),
        (lambda: Onsets(CELL, TIME, weight=None), TypeError, "weight a number or a tensor"),
        (lambda: Onsets(CELL, TIME, weight=[1.0, 2.0]), TypeError, "weight a number or a tensor"),
        (lambda: Onsets(CELL, TIME, weight=math.nan), ValueError, "and not nan"),
        (lambda: Onsets(CELL, TIME, weight=TIME * math.nan), ValueError, "and not nan"),
        (lambda: Onsets(CELL, TIME, batch=(2,), trial=CELL), TypeError, "batch must be a torch.S"),
        (lambda: Onsets(CELL, TIME, batch=torch.Size([2]), trial=[0, 1]), TypeError, "trial must"),
        (lambda: Onsets(CELL, TIME, batch=torch.Size([2]), trial=TIME), TypeError, "trial must"),
        (lambda: onsets([1.0, 2.0]), TypeError, "times must be a tensor"),
        (lambda: onsets(np.zeros(7)), TypeError, "times must be a tensor"),
        (lambda: onsets(torch.tensor(1.0)), TypeError, "times must be a tensor"),
        (lambda: onsets(torch.zeros(3, 0)), ValueError, "times must have a cell"),
        (lambda: race(**RUN, state=race(**RUN)), TypeError, r"state must be that of a race"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_a_sentence(make, error, sentence):
    with pytest.raises(error, match=sentence):
        make()


def test_a_state_of_other_cells_is_refused():
    traces = {"step": StepTrace(50.0), "leak": ExponentialTrace(5.0), "power": PowerTrace(1.0, 5.0)}
    made = {
        name: GeometricNetwork(WIRED, Summing(5.0, 2.0, trace)) for name, trace in traces.items()
    }
    run = {**RUN, "duration": 5.0}
    states = {name: race(**{**run, "network": one}).state for name, one in made.items()}
    with pytest.raises(ValueError, match="sums have 38 parts, the receiver of this network has 1"):
        race(made["step"], duration=5.0, dt=1.0, state=states["power"])
    with pytest.raises(ValueError, match="state is of cells that forget by a StepTrace"):
        race(made["leak"], duration=5.0, dt=1.0, state=states["step"])
    with pytest.raises(ValueError, match="sums have 0 parts, the receiver of this network has 1"):
        race(made["leak"], duration=5.0, dt=1.0, state=race(**run).state)


def test_no_trials_give_no_rows():
    nobody = onsets(torch.zeros(0, 7))
    assert first_spikes(**{**RUN, "stimulus": nobody}).shape == (0, 7)
    run = race(**{**RUN, "stimulus": nobody})
    assert run.first_spike().shape == run.counts().shape == (0, 7)
    blocked = torch.zeros(0, 7)
    assert first_spikes(**RUN, refractory=blocked).shape == (0, 7)


def test_times_that_ask_for_gradients_are_times():
    asking = Onsets(CELL, TIME.clone().requires_grad_())
    assert race(**{**RUN, "stimulus": asking}).counts().equal(race(**RUN).counts())


def test_a_state_goes_on_in_the_network_it_comes_from_alone():
    state = race(**RUN).state
    heavier = GeometricNetwork(WIRED, Winner(5.0), EDGES + torch.eye(21)[3])
    slower = GeometricNetwork(conducted(WIRED, speed=0.19), Winner(5.0))
    turned = conducted(geometric(PLACES.flip(0), neighbors=3), speed=0.2)
    other = GeometricNetwork(turned, Winner(5.0))
    for network in (heavier, slower, other):
        with pytest.raises(ValueError, match=r"state is that of another network.*wiring=None"):
            race(network, STRUCK, duration=5.0, dt=1.0, state=state)
        race(network, STRUCK, duration=5.0, dt=1.0, state=replace(state, wiring=None))
    same = GeometricNetwork(WIRED, Winner(5.0))
    assert race(same, STRUCK, duration=5.0, dt=1.0, state=state).state.wiring == state.wiring
