"""One training step of one library on one workload, done when told to: a worker of training.py.

    python benchmarks/training_steps.py LIBRARY WORKLOAD

Prints a line of JSON when it is ready and one after every line that it reads: CPU seconds of a step
(forward and backward), its loss, rate and norm of the gradient. Cells are the same everywhere:
v <- 0.9 v + I, a spike above 1 takes 1 off, the reset is differentiated, and the slope of a spike
is 1 / (1 + (pi x)^2) where the library lets one choose. Only what the library needs is imported.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

BETA = 0.9
LAYERED = {  # steps, batch, sizes, gain, share of entries that are one
    "dense": (500, 16, (512, 512), 0.5, None),
    "sparse": (100, 64, (700, 256, 256, 20), 2.0, 0.05),
}
RECURRENT = {"recurrent-1": 1, "recurrent-8": 8}
CELLS, EDGES, STEPS = 302, 6400, 1000


def layered(workload: str) -> tuple[Any, Any, list[Any]]:
    """Input [T, B, F], classes [B] or None, and weights [K, F] of each layer."""
    steps, batch, sizes, gain, share = LAYERED[workload]
    drawn = np.random.default_rng(0)
    shape = (steps, batch, sizes[0])
    x = drawn.standard_normal(shape) if share is None else drawn.random(shape) < share
    classes = None if share is None else drawn.integers(0, sizes[-1], batch)
    pairs = itertools.pairwise(sizes)
    weights = [(drawn.standard_normal((k, f)) * gain / f**0.5).astype("f4") for f, k in pairs]
    return x.astype("f4"), classes, weights


def recurrent(workload: str) -> tuple[Any, Any, Any, Any]:
    """Input [T, B, N], and the connections of a random network: pre, post, weight."""
    drawn = np.random.default_rng(0)
    place = np.sort(drawn.choice(CELLS**2, EDGES, replace=False))
    weight = (drawn.standard_normal(EDGES) * 0.3 / (EDGES / CELLS) ** 0.5).astype("f4")
    x = drawn.standard_normal((STEPS, RECURRENT[workload], CELLS)) * 0.3 + 0.07
    return x.astype("f4"), place // CELLS, place % CELLS, weight


def torch_step(model: Any, parameters: Any, x: Any, classes: Any) -> Callable[[], dict[str, float]]:
    """Forward and backward of a module from spikes [T, B, F] to spikes [T, B, K]."""
    import torch

    inputs = torch.from_numpy(x)
    wanted = None if classes is None else torch.from_numpy(classes)
    parameters = list(parameters)

    def step() -> dict[str, float]:
        for parameter in parameters:
            parameter.grad = None
        start = time.process_time()
        given = model(inputs)
        counts = given.sum(0)
        loss = counts.sum() if wanted is None else torch.nn.functional.cross_entropy(counts, wanted)
        loss.backward()
        seconds = time.process_time() - start
        norm = math.sqrt(sum(float((p.grad**2).sum()) for p in parameters))
        rate = float(given.detach().mean())
        return {"seconds": seconds, "loss": float(loss.detach()), "rate": rate, "gradient": norm}

    return step


def linears(weights: list[Any]) -> list[Any]:
    """Layers without bias, with those weights."""
    import torch

    made = []
    for weight in weights:
        layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        layer.weight.data.copy_(torch.from_numpy(weight))
        made.append(layer)
    return made


def amphid(workload: str) -> Callable[[], dict[str, float]]:
    """This package, as its documentation says."""
    import torch

    import amphid as am
    from amphid import dynamics, wiring

    cell = dynamics.LIF(
        tau=-1 / math.log(BETA), resistance=1 / (1 - BETA), v_rest=0.0, v_threshold=1.0,
        v_reset=None, surrogate=dynamics.Arctan(width=1 / math.pi), reset_gradient=True,
    )  # fmt: skip
    if workload in LAYERED:
        x, classes, weights = layered(workload)
        layers = [part for linear in linears(weights) for part in (linear, cell)]
        net = am.Sequential(*layers)
        return torch_step(net, net.parameters(), x, classes)
    x, pre, post, weight = recurrent(workload)
    matrix = np.zeros((CELLS, CELLS))
    matrix[pre, post] = np.where(weight > 0, 1, -1)
    network = am.Network(
        wiring.from_matrix([f"C{k}" for k in range(CELLS)], matrix),
        neuron=cell,
        synapse=dynamics.Delta(charge=1.0),
        weight=torch.nn.Parameter(torch.from_numpy(weight)),
        dale=False,
    )
    return torch_step(network, [network.weight], x, None)


def user(workload: str) -> Callable[[], dict[str, float]]:
    """A neuron that a user wrote, in this package: an adaptive cell with two variables."""
    from typing import NamedTuple

    import torch

    import amphid as am
    from amphid import dynamics

    class State(NamedTuple):
        v: Any
        w: Any

    class Adaptive(dynamics.Neuron[Any]):
        spike = dynamics.Arctan(width=1 / math.pi)

        def init(self, like: Any) -> State:
            return State(torch.zeros_like(like), torch.zeros_like(like))

        def step(self, state: State, current: Any, dt: float) -> Any:
            v = BETA * state.v + current - state.w
            spike = self.spike(v - 1)
            return State(v - spike, 0.98 * state.w + 0.1 * spike), spike

    x, classes, weights = layered(workload)
    net = am.Sequential(*(part for one in linears(weights) for part in (one, Adaptive())))
    return torch_step(net, net.parameters(), x, classes)


def arctan() -> Callable[[Any], Any]:
    """A spike with a gradient, as one writes it by hand."""
    import torch

    class Spike(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, distance: Any) -> Any:
            ctx.save_for_backward(distance)
            return (distance > 0).to(distance.dtype)

        @staticmethod
        def backward(ctx: Any, given: Any) -> Any:
            return given / (1 + (math.pi * ctx.saved_tensors[0]) ** 2)

    return Spike.apply


def loop_user(workload: str) -> Callable[[], dict[str, float]]:
    """The same cell in a loop by hand."""
    import torch

    x, classes, weights = layered(workload)
    layers, spike_of = torch.nn.ModuleList(linears(weights)), arctan()

    def model(x: Any) -> Any:
        states = [(0.0, 0.0)] * len(layers)
        out = []
        for now in x.unbind(0):
            for k, layer in enumerate(layers):
                v, w = states[k]
                v = BETA * v + layer(now) - w
                now = spike_of(v - 1)
                states[k] = (v - now, 0.98 * w + 0.1 * now)
            out.append(now)
        return torch.stack(out)

    return torch_step(model, layers.parameters(), x, classes)


def loop(workload: str) -> Callable[[], dict[str, float]]:
    """Plain torch by hand: one matrix product for all steps of a layer, then a loop over steps."""
    import torch

    spike_of = arctan()
    if workload in RECURRENT:
        x, pre, post, weight = recurrent(workload)
        learned = torch.nn.Parameter(torch.from_numpy(weight))
        place = torch.from_numpy(pre), torch.from_numpy(post)

        def network(x: Any) -> Any:
            matrix = torch.zeros(CELLS, CELLS).index_put(place, learned)
            v = spikes = torch.zeros_like(x[0])
            out = []
            for now in x.unbind(0):
                v = BETA * v + now + spikes @ matrix
                spikes = spike_of(v - 1)
                v = v - spikes
                out.append(spikes)
            return torch.stack(out)

        return torch_step(network, [learned], x, None)
    x, classes, weights = layered(workload)
    layers = torch.nn.ModuleList(linears(weights))

    def net(x: Any) -> Any:
        for layer in layers:
            v, out = 0.0, []
            for now in layer(x).unbind(0):
                v = BETA * v + now
                spikes = spike_of(v - 1)
                v = v - spikes
                out.append(spikes)
            x = torch.stack(out)
        return x

    return torch_step(net, layers.parameters(), x, classes)


def products(workload: str) -> Callable[[], dict[str, float]]:
    """Nothing but the matrix products that the layers cannot do without."""
    import torch

    x, _, weights = layered(workload)
    layers = torch.nn.ModuleList(linears(weights))
    return torch_step(torch.nn.Sequential(*layers), layers.parameters(), x, None)


def snntorch(workload: str) -> Callable[[], dict[str, float]]:
    """snnTorch: the loop of its documentation. It detaches the reset and is a step late with it."""
    import snntorch as snn
    import torch

    x, classes, weights = layered(workload)
    layers = torch.nn.ModuleList(linears(weights))
    cells = torch.nn.ModuleList([snn.Leaky(beta=BETA) for _ in weights])

    def model(x: Any) -> Any:
        v = [cell.init_leaky() for cell in cells]
        out = []
        for now in x:
            for k, (layer, cell) in enumerate(zip(layers, cells, strict=True)):
                now, v[k] = cell(layer(now), v[k])
            out.append(now)
        return torch.stack(out)

    return torch_step(model, layers.parameters(), x, classes)


def spikingjelly(workload: str) -> Callable[[], dict[str, float]]:
    """SpikingJelly in its multi-step mode."""
    import torch
    from spikingjelly.activation_based import functional, layer, neuron, surrogate

    x, classes, weights = layered(workload)
    parts = []
    for weight in weights:
        linear = layer.Linear(weight.shape[1], weight.shape[0], bias=False)
        linear.weight.data.copy_(torch.from_numpy(weight))
        spike = surrogate.ATan()
        cell = neuron.LIFNode(10.0, decay_input=False, v_reset=None, surrogate_function=spike)
        parts += [linear, cell]
    net = torch.nn.Sequential(*parts)
    functional.set_step_mode(net, "m")

    def model(x: Any) -> Any:
        functional.reset_net(net)
        return net(x)

    return torch_step(model, net.parameters(), x, classes)


def spyx(workload: str) -> Callable[[], dict[str, float]]:
    """Spyx: a scan compiled by JAX. A spike leaves one step after the others'."""
    import jax
    import jax.numpy as jnp
    from flax import nnx
    from spyx import axn
    from spyx import nn as snn

    x, classes, weights = layered(workload)
    x, columns = jnp.asarray(x), [jnp.asarray(weight.T) for weight in weights]
    cells = [
        snn.LIF((w.shape[1],), beta=BETA, activation=axn.arctan(), rngs=nnx.Rngs(0))
        for w in columns
    ]

    def forward(columns: Any) -> Any:
        def step(states: Any, now: Any) -> Any:
            after = []
            for column, cell, v in zip(columns, cells, states, strict=True):
                now, v = cell(now @ column, v)
                after.append(v)
            return tuple(after), now

        start = tuple(cell.initial_state(x.shape[1]) for cell in cells)
        given = jax.lax.scan(step, start, x)[1]
        counts = given.sum(0)
        if classes is None:
            return counts.sum(), given.mean()
        chosen = jnp.take_along_axis(jax.nn.log_softmax(counts), jnp.asarray(classes)[:, None], 1)
        return -chosen.mean(), given.mean()

    both = jax.jit(jax.value_and_grad(forward, has_aux=True))

    def one() -> dict[str, float]:
        start = time.process_time()
        (loss, rate), gradients = jax.block_until_ready(both(columns))
        seconds = time.process_time() - start
        norm = math.sqrt(sum(float((g**2).sum()) for g in gradients))
        return {"seconds": seconds, "loss": float(loss), "rate": float(rate), "gradient": norm}

    return one


LIBRARIES: dict[str, Callable[[str], Callable[[], dict[str, float]]]] = {
    "amphid": amphid,
    "user": user,
    "loop": loop,
    "loop-user": loop_user,
    "products": products,
    "snntorch": snntorch,
    "spikingjelly": spikingjelly,
    "spyx": spyx,
}


def memory(field: str) -> float:
    """A figure of this process in MB: VmRSS now, VmHWM at its highest."""
    with open("/proc/self/status", encoding="ascii") as status:
        found = next(line for line in status if line.startswith(field))
    return int(found.split()[1]) / 1024


def main(library: str, workload: str) -> None:
    """Get ready, then take a step for every line read."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # some know no other way of one thread
    if library != "spyx":
        import torch

        torch.set_num_threads(1)
    step = LIBRARIES[library](workload)
    before, start = memory("VmRSS"), time.process_time()
    found = step()
    ready = {"first_s": round(time.process_time() - start, 3), "first_mb": memory("VmHWM") - before}
    step()
    print(json.dumps(found | ready), flush=True)
    for line in sys.stdin:
        if line.strip() == "memory":
            print(json.dumps({"mb": peak(step)}), flush=True)
        else:
            print(json.dumps(step()), flush=True)


def peak(step: Callable[[], Any]) -> float:
    """By how many MB a step exceeds what the process holds between steps."""
    import ctypes
    import gc

    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    with open("/proc/self/clear_refs", "w", encoding="ascii") as reset:
        reset.write("5")  # the highest is counted anew
    before = memory("VmRSS")
    step()
    return round(memory("VmHWM") - before, 1)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main(*sys.argv[1:])
