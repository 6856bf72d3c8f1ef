"""Networks that are to give spike trains back, and the ways in which they are trained."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from amphid.dynamics import LIF, BinaryThreshold, Crossing, HodgkinHuxley, Neuron, SigmoidRelease
from amphid.learning import (
    Correlation,
    EachUpdate,
    Estimator,
    Objective,
    fit,
    rises_per_ms,
    scale_weights,
)
from amphid.models import (
    Sequential,
    Weights,
    cell_layers,
    dense_weights,
    permuted_weights,
    relay_weights,
)
from amphid.tasks import Replicas, SpikeReplication

DT = 0.1  # ms
GAIN = 80.0  # pA for a unit of weight, into cells of 1 pF
HALF = -3.0  # mV at which a release is one half, and a spike begins
SHORT, LONG = 30.0, 100.0  # ms of a window for three quarters of the updates, and for the last
KEPT = 0.15  # share of the learning rate that is left at the end
TRIED = 3  # updates by which the cost of one is measured
QUARTERS = 4

Cells = Callable[[bool], Neuron[Any]]
"""Makes the cells of a layer, which is the last one or not."""
Start = Callable[[torch.Generator], Sequence[Weights]]
Criterion = Callable[[Tensor, Tensor], Tensor]

CORRELATION = Correlation(dt=DT, floor=0.15, pooled=True)
"""A spread of 0.15 of the trace of a spike bounds the slope of an output that is nearly silent."""


def spiking(last: bool) -> Neuron[Any]:  # noqa: FBT001
    """Cells of the cortex, 1 pF each, that give a release, and in the last layer spikes."""
    end = Crossing(threshold=HALF) if last else SigmoidRelease(v_half=HALF)
    return HodgkinHuxley.cortical(capacitance=1.0, terminal=end)


def releasing(last: bool) -> Neuron[Any]:  # noqa: FBT001
    """The same cells, that give a release in the last layer too."""
    return HodgkinHuxley.cortical(capacitance=1.0, terminal=SigmoidRelease(v_half=HALF))


def leaky(last: bool) -> Neuron[Any]:  # noqa: FBT001
    """Leaky integrate-and-fire cells whose threshold is 1 mV above rest."""
    return LIF(tau=10.0, resistance=1.0, v_rest=0.0, v_threshold=1.0, v_reset=0.0)


def binary(last: bool) -> Neuron[Any]:  # noqa: FBT001
    """Cells that give 1 while their input is above threshold, and remember nothing."""
    return BinaryThreshold()


def dense(generator: torch.Generator) -> Sequence[Weights]:
    """Normal weights of both signs in all layers."""
    return [dense_weights(generator)] * 3


def permuted(generator: torch.Generator) -> Sequence[Weights]:
    """One strong weight into each hidden cell, from where is drawn; a dense last layer."""
    return [permuted_weights(generator), permuted_weights(generator), dense_weights(generator)]


@dataclass(frozen=True)
class Way:
    """One way of training.

    estimator: makes it, from where numbers are drawn and the updates there will be. runs: forward
    runs of the network that an update takes for each window, a backward run counted as two. loss:
    as the estimator wants it. size: windows of SHORT ms in an update. rate: learning rate, in units
    of the root mean square of each matrix of weights. cells, gain: what the network is made of.
    firing: Hz of each layer to begin with. push: pA that count for a bias as the root mean square
    does for weights.
    """

    estimator: Callable[[torch.Generator, int], Estimator]
    runs: float
    loss: Criterion = CORRELATION
    size: int = 12
    rate: float = 0.12
    cells: Cells = spiking
    gain: float = GAIN
    firing: float = 40.0
    push: float = 2.0


@dataclass(frozen=True)
class Trained:
    """A network, how it did at each quarter of its training, and what that took."""

    net: Sequential
    curve: tuple[float, ...]
    """Correlation on windows for validation, before the training and after each quarter."""
    updates: int
    minutes: float
    """Of the lives of single networks that were simulated."""
    seconds: float
    """That the processor computed, all threads together."""


def sizes(cells: int) -> tuple[int, int, int, int]:
    """Inputs, two hidden layers of three times as many cells, outputs."""
    return cells, 3 * cells, 3 * cells, cells


def network(way: Way, start: Start, task: SpikeReplication, seed: int) -> Sequential:
    """A network each of whose layers fires as the way says, by scaling its weights."""
    draw = torch.Generator().manual_seed(seed)
    made = [way.cells(last) for last in (False, False, True)]
    net = cell_layers(sizes(task.cells), made, start(draw), gain=way.gain, bias=True)
    inputs, _ = next(iter(task.batches("train", size=2)))
    scale_weights(net, inputs, rate=way.firing / 1000, dt=DT, answer=rises_per_ms)
    return net


def relay(cells: int, *, gain: float = GAIN) -> Sequential:
    """A network made by hand that gives each train back: the ceiling."""
    made = [spiking(last) for last in (False, False, True)]
    return cell_layers(sizes(cells), made, [relay_weights(cells)] * 3, gain=gain)


def trained(
    way: Way, net: Sequential, task: SpikeReplication, *, updates: int, generator: torch.Generator
) -> Trained:
    """Train a network on windows drawn anew for each of a multiple of four updates."""
    begun = time.process_time()
    optimizer = torch.optim.Adam(groups(net, way), betas=(0.9, 0.99))
    schedule = LambdaLR(optimizer, lambda done: KEPT ** (done / updates))
    curve = [task.score(net, "validation").value]
    history = fit(
        net,
        lambda epoch: windows(way, task, epoch, updates // QUARTERS, generator),
        way.loss,
        optimizer=optimizer,
        estimator=way.estimator(generator, updates),
        epochs=QUARTERS,
        dt=DT,
        schedule=EachUpdate(schedule),
        validate=lambda model: task.score(model, "validation").value,
        guard=None,  # some ways are there to show that they do not go down
        generator=generator,
        progress=None,
    )
    curve += history["validation"]
    minutes = updates * way.runs * way.size * SHORT / 60_000
    return Trained(net, tuple(curve), updates, minutes, time.process_time() - begun)


def windows(
    way: Way, task: SpikeReplication, quarter: int, updates: int, generator: torch.Generator
) -> Replicas:
    """New windows for a quarter of the training: fewer, longer ones in the last."""
    longer = quarter == QUARTERS - 1
    duration, size = (LONG, round(way.size * SHORT / LONG)) if longer else (SHORT, way.size)
    steps = round(duration / DT)
    places = torch.zeros(()).expand(steps, updates * size, task.cells)
    return Replicas(places, task.trains, size, round(task.lag / DT), generator)


def groups(net: Sequential, way: Way) -> list[dict[str, Any]]:
    """Parameters with learning rates in units of what each of them is."""
    found: list[dict[str, Any]] = []
    layers: list[Any] = list(net)
    for layer, gain in zip(layers[::3], layers[1::3], strict=True):
        size = float(layer.weight.detach().square().mean().sqrt())
        found.append({"params": [layer.weight], "lr": way.rate * size})
        found.append({"params": [layer.bias], "lr": way.rate * way.push / float(gain.gain)})
    return found


def updates_within(
    seconds: float, way: Way, net: Sequential, task: SpikeReplication, generator: torch.Generator
) -> int:
    """A multiple of four updates, that take about so many seconds of the processor.

    The cost of one is measured; the network is not changed.
    """
    estimator = way.estimator(generator, TRIED)
    params: dict[str, Tensor] = dict(net.named_parameters())
    begun = 0.0
    for done, batch in enumerate(windows(way, task, 0, TRIED + 1, generator)):
        if done == 1:  # machine code is made by then
            begun = time.process_time()
        estimator(Objective(net, *batch, way.loss, dt=DT), params)
    each = (time.process_time() - begun) / TRIED
    return QUARTERS * max(1, round(seconds / each / QUARTERS))
