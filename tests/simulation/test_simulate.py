"""The time loop: what is kept, going on from a state, gradients through time, refusals."""

import sys

import pytest
import torch

import amphid as am
from amphid import dynamics, wiring

STEPS, CELLS = 83, 7


def network(**given) -> am.Network:
    generator = torch.Generator().manual_seed(3)
    wired = wiring.random(CELLS, probability=0.5, generator=generator)
    synapse = dynamics.Exponential(tau=5.0, amplitude=60.0)
    return am.Network(wired, neuron=dynamics.LIF(), synapse=synapse, **given).double()


def current(*batch: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    noise = torch.randn(STEPS, *batch, CELLS, generator=generator, dtype=torch.float64)
    return 260 + 60 * noise


def test_a_run_in_two_parts_equals_one_run():
    net, drive = network(), current()
    whole = am.simulate(net, drive, dt=0.5, record=("v", "spike"))
    first = am.simulate(net, drive[:31], dt=0.5, record=("v", "spike"))
    second = am.simulate(net, drive[31:], dt=0.5, record=("v", "spike"), state=first.state)
    assert torch.equal(torch.cat((first.v, second.v)), whole.v)
    assert torch.equal(torch.cat((first.spike, second.spike)), whole.spike)
    assert len(whole.spikes) > 10


def test_sampling_keeps_every_spike_and_every_third_voltage():
    net, drive = network(), current()
    full = am.simulate(net, drive, dt=0.5, record=("v", "spike"))
    thin = am.simulate(net, drive, dt=0.5, record=("v", "spike"), every=3)
    assert torch.equal(thin.v, full.v[2::3])
    assert torch.equal(thin.spike, full.spike)
    assert thin.time.tolist() == pytest.approx(full.time[2::3].tolist())
    assert thin.duration == full.duration == STEPS * 0.5


def test_spikes_as_events_equal_the_dense_ones():
    net, drive = network(), current(3)
    with_graph = am.simulate(net, drive, dt=0.5)
    with torch.no_grad():
        without = am.simulate(net, drive, dt=0.5)
    assert with_graph.spike.requires_grad
    assert not without.fields
    assert torch.equal(without.spike.double(), with_graph.spike.detach())
    assert torch.equal(without.spikes.index, with_graph.spikes.index)


@pytest.mark.parametrize("checkpoint", [1, 13, None])
def test_checkpoints_in_time_leave_the_gradient_as_it_is(checkpoint, monkeypatch):
    monkeypatch.setattr(sys.modules["amphid.simulation.torch_engine"], "LONG", 10)
    gradients = []
    for engine in (am.Torch(checkpoint=0), am.Torch(checkpoint=checkpoint)):
        net = network()
        run = am.simulate(net, current(2), dt=0.5, record=("v", "spike"), engine=engine)
        (run.v.pow(2).mean() + run.spike.mean()).backward()
        gradients.append(net.weight.grad)
    assert gradients[0].abs().sum() > 0
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-12, atol=1e-15)


def test_the_gradient_of_the_voltage_is_the_slope_of_the_voltage():
    """Below threshold nothing is replaced by a surrogate."""
    wired = wiring.random(CELLS, probability=0.5, generator=torch.Generator().manual_seed(3))
    net = am.Network(
        wired, neuron=dynamics.Graded(), synapse=dynamics.graded_synapses(chemical=0.1)
    ).double()
    drive = current()[:3] / 100

    def voltage(weight, drive):
        return torch.func.functional_call(net, {"weight": weight}, (drive, 5.0)).sum()

    inputs = (net.weight.detach().clone().requires_grad_(), drive.requires_grad_())
    assert torch.autograd.gradcheck(voltage, inputs, eps=1e-4, atol=1e-7)


def test_the_network_as_a_module_gives_what_simulate_records():
    net, drive = network(), current(2)
    assert torch.equal(net(drive, 0.5), am.simulate(net, drive, dt=0.5).spike)


def test_a_population_of_weights_runs_under_vmap():
    net, drive = network(), current()
    weights = torch.rand(5, len(net.weight), dtype=torch.float64) * 3

    def spikes(weight):
        return torch.func.functional_call(net, {"weight": weight}, (drive, 0.5))

    together = torch.vmap(spikes)(weights)
    for weight, alone in zip(weights, together, strict=True):
        assert torch.equal(spikes(weight), alone)


def test_single_precision_stays_single():
    net = network().float()
    run = am.simulate(net, current(), dt=0.5, record=("v", "chemical.s"))
    assert run.v.dtype == run.fields["chemical.s"].dtype == torch.float32


def test_an_interrupted_run_keeps_its_part():
    def interrupt(done: int, steps: int) -> None:
        if done >= 64:
            raise KeyboardInterrupt

    with torch.no_grad():
        run = am.simulate(network(), current(), dt=0.5, record=("v",), progress=interrupt)
    assert len(run.v) == 64
    assert f"interrupted after 64 of {STEPS} steps" in run.notes[0]


def test_progress_reaches_the_end():
    heard = []
    with torch.no_grad():
        am.simulate(network(), current(), dt=0.5, progress=lambda *told: heard.append(told))
    assert heard[-1] == (STEPS, STEPS)


LOOSE = wiring.random(CELLS, probability=0.0, inhibitory=0.0, generator=torch.Generator())
GRADED = am.Network(LOOSE, neuron=dynamics.Graded())
PULSE = am.pulse(GRADED.connectome, "E0", amplitude=1.0, duration=10.0, dt=0.5)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"network": "worm"}, "network must be a Network"),
        ({"stimulus": [[0.0] * CELLS]}, "stimulus must be a Stimulus or a tensor"),
        ({"stimulus": torch.zeros(5, CELLS + 1)}, "7 cells, stimulus has shape"),
        ({"stimulus": torch.zeros(CELLS)}, r"\[T, \*B, N\]"),
        ({"stimulus": torch.zeros(0, CELLS)}, r"\[T, \*B, N\]"),
        ({"dt": 0.25}, "dt must be that of the stimulus"),
        ({"stimulus": torch.zeros(5, CELLS)}, "dt must be a positive number"),
        ({"stimulus": torch.zeros(5, CELLS), "dt": -1.0}, "dt must be a positive number"),
        ({"record": "v"}, "record must be a list"),
        ({"record": ("w",)}, "has no variable 'w'; it has v, release"),
        ({"record": ("spike",)}, "give out 'release'"),
        ({"record": ("chemical.g",)}, "groups of synapses are: none"),
        ({"every": 0}, "every must be a number of steps"),
        ({"every": 1.5}, "every must be a number of steps"),
    ],
)
def test_an_argument_that_does_not_fit_is_refused_in_a_sentence(given, named):
    arguments = {"network": GRADED, "stimulus": PULSE, **given}
    with pytest.raises((ValueError, TypeError, KeyError), match=named):
        am.simulate(arguments.pop("network"), arguments.pop("stimulus"), **arguments)


def test_implicit_steps_are_refused_for_cells_without_a_linear_membrane():
    cells = dynamics.BinaryThreshold()
    net = am.Network(GRADED.connectome, neuron=cells)
    with pytest.raises(ValueError, match="needs cells with a linear membrane"):
        am.simulate(net, torch.zeros(3, CELLS), dt=0.1, engine=am.Torch(implicit=True))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("engine", [am.Torch(), am.Compiled(), None])
def test_a_stimulus_that_is_not_finite_is_refused_by_its_place(bad, engine):
    drive = current(3)
    drive[11, 2, 5] = bad
    with pytest.raises(ValueError, match=r"finite numbers.* in step 11, trial 2, cell 5"):
        am.simulate(network(), drive, dt=0.5, engine=engine)
    few = am.Stimulus(drive[:, 2, 5:6], torch.tensor([4]), CELLS, 0.5)
    with pytest.raises(ValueError, match=r"in step 11, cell 4"):
        am.simulate(network(), few, engine=engine)


def test_a_stimulus_whose_sum_alone_is_infinite_runs():
    drive = torch.full((STEPS, CELLS), 3e38)
    net = am.Network(wiring.random(CELLS, probability=0.0, generator=torch.Generator()),
                     neuron=dynamics.LIF(), weight=torch.ones(0))  # fmt: skip
    assert am.simulate(net, drive, dt=0.5, record=("v",)).steps == STEPS


@pytest.mark.parametrize(
    ("delay", "told"),
    [(1.5, ""), (0.0, ""), (1.4, "delays rounded to steps of 0.5 ms, by at most 0.1 ms")],
)
def test_delays_that_are_rounded_are_told(delay, told):
    wired = network().connectome.with_connections(delay=delay)
    synapse = dynamics.Exponential(tau=5.0, amplitude=60.0)
    net = am.Network(wired, neuron=dynamics.LIF(), synapse=synapse)
    notes = am.simulate(net, current().float(), dt=0.5).notes
    assert [note for note in notes if "delay" in note] == ([told] if told else [])


def test_trials_of_weights_and_stimulus_that_do_not_fit_are_refused():
    edges = len(network().connectome.connections)
    with pytest.raises(ValueError, match=r"stimulus, \[3\], and .*weights and values, \[2\], must"):
        am.simulate(network(weight=torch.ones(2, edges)), current(3), dt=0.5)


@pytest.mark.parametrize("engine", [am.Torch(), am.Compiled(threads=1)])
def test_values_wider_than_the_weights_are_refused_in_a_sentence(engine):
    net = network().float()
    wide = torch.full((CELLS,), 20.0, dtype=torch.float64)
    net.neuron = dynamics.LIF(tau=wide)
    with pytest.raises(
        TypeError, match=r"neuron.tau in torch.float64, its weights .*float32: brin"
    ):
        am.simulate(net, current(), dt=0.5, engine=engine)
    net.neuron = dynamics.LIF(tau=wide[0])  # one number for all turns nothing into its type
    assert am.simulate(net, current(), dt=0.5, record=("v",)).v.dtype == torch.float32
    assert am.simulate(net.double(), current(), dt=0.5, record=("v",)).v.dtype == torch.float64
