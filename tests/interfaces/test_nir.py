"""NIR: graphs in, graphs out, and nothing that changes on the way."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from amphid import dynamics, models, wiring
from amphid.interfaces.nir import Cuba, Graph, export_nir, from_nir, import_nir, to_nir

nir = pytest.importorskip("nir", reason="NIR needs nir")

DOUBLE = {"dtype": torch.float64}


def draw(*shape, low=0.5, high=1.5, seed=0):
    return np.random.default_rng([seed, *shape]).uniform(low, high, shape)


def cells(kind, *shape, **times):
    values = {"r": draw(*shape, seed=1), "v_leak": draw(*shape, low=-0.1, high=0.1, seed=2)}
    if kind in (nir.LIF, nir.CubaLIF):
        values |= {"v_threshold": draw(*shape, low=0.2, high=0.4, seed=3)}
        values |= {"v_reset": draw(*shape, low=-0.2, high=0.0, seed=4)}
    if kind in (nir.CubaLIF, nir.CubaLI):
        values |= {"w_in": draw(*shape, seed=5)}
    return kind(
        **values, **{name: draw(*shape, low=lo, high=hi) for name, (lo, hi) in times.items()}
    )


TAU = {"tau": (0.005, 0.02)}
CUBA = {"tau_mem": (0.005, 0.02), "tau_syn": (0.002, 0.01)}
NODES = {
    "Affine": nir.Affine(draw(3, 5), draw(3)),
    "Linear": nir.Linear(draw(3, 5)),
    "Scale": nir.Scale(draw(5)),
    "Delay": nir.Delay(np.array([0.0, 0.001, 0.002, 0.0, 0.003])),
    "I": nir.I(draw(5)),
    "IF": nir.IF(100 * draw(5), draw(5), np.zeros(5)),
    "LI": cells(nir.LI, 5, **TAU),
    "LIF": cells(nir.LIF, 5, **TAU),
    "CubaLI": cells(nir.CubaLI, 5, **CUBA),
    "CubaLIF": cells(nir.CubaLIF, 5, **CUBA),
    "Threshold": nir.Threshold(draw(5, low=0.3, high=0.7)),
    "Conv1d": nir.Conv1d(11, draw(3, 2, 5), 2, 1, 1, 1, draw(3)),
    "Conv2d": nir.Conv2d((7, 11), draw(4, 1, 3, 5), (1, 2), (1, 0), (1, 1), 2, draw(4)),
    "Conv2d-same": nir.Conv2d((7, 11), draw(3, 2, 3, 3), 1, "same", 1, 1, draw(3)),
    "SumPool2d": nir.SumPool2d(np.array([2, 3]), np.array([2, 3]), np.array([0, 1])),
    "AvgPool2d": nir.AvgPool2d(np.array([2, 2]), np.array([1, 2]), np.array([0, 0])),
    "Flatten": nir.Flatten({"input": np.array([2, 7, 11])}, start_dim=0, end_dim=-1),
    "Flatten-part": nir.Flatten({"input": np.array([2, 7, 11])}, start_dim=1, end_dim=2),
}
SHAPES = {"Conv1d": (2, 11), "Flatten": (2, 7, 11), "Flatten-part": (2, 7, 11)} | dict.fromkeys(
    ("Conv2d", "Conv2d-same", "SumPool2d", "AvgPool2d"), (2, 7, 11)
)


def single(name):
    nodes = {
        "input": nir.Input({"input": np.array(SHAPES.get(name, (5,)))}),
        "it": NODES[name],
        "output": nir.Output({"output": None}),
    }
    nodes = copy.deepcopy(nodes)
    return nir.NIRGraph(nodes, [("input", "it"), ("it", "output")], type_check=False)


def same(first, other):
    """Whether two graphs say the same, number for number."""
    assert list(first.nodes) == list(other.nodes)
    assert set(map(tuple, first.edges)) == set(map(tuple, other.edges))
    for name, node in first.nodes.items():
        assert type(other.nodes[name]) is type(node)
        if isinstance(node, nir.NIRGraph):
            same(node, other.nodes[name])
            continue
        one, two = node.to_dict(), other.nodes[name].to_dict()
        for key in one.keys() - {"metadata", "type"}:
            a, b = one[key], two[key]
            if key in ("shape", "input_type", "output_type", "input_shape"):
                continue
            if isinstance(a, str) or a is None:
                assert a == b
            else:
                np.testing.assert_allclose(np.asarray(b), np.asarray(a), rtol=1e-14, err_msg=key)


@pytest.mark.parametrize("name", NODES)
def test_every_node_comes_back_as_it_was(name):
    graph = single(name)
    shape = SHAPES.get(name, (5,))
    layers = from_nir(graph, **DOUBLE)
    back = to_nir(layers, inputs=shape)
    same(graph, back)
    x = torch.from_numpy(draw(13, 3, *shape, low=0.0, high=2.0))
    torch.testing.assert_close(from_nir(back, **DOUBLE)(x), layers(x), rtol=0, atol=1e-12)
    y, state = layers.run(x[:6])
    rest, _ = layers.run(x[6:], state)
    torch.testing.assert_close(torch.cat((y, rest)), layers(x))  # the state carries on


@pytest.mark.parametrize("name", NODES)
def test_a_file_holds_what_the_graph_holds(name, tmp_path):
    layers = from_nir(single(name), **DOUBLE)
    shape = SHAPES.get(name, (5,))
    path = export_nir(layers, tmp_path / "net.nir", inputs=shape)
    x = torch.from_numpy(draw(7, 2, *shape))
    torch.testing.assert_close(import_nir(path, **DOUBLE)(x), layers(x), rtol=0, atol=1e-12)
    assert [held.name for held in tmp_path.iterdir()] == ["net.nir"]


def test_nodes_do_what_their_equations_say():
    """Against the textbook solution for a constant input, with time in seconds."""
    steps, dt = 40, 0.5
    x = torch.from_numpy(draw(5)).expand(steps, 1, 5)
    now = np.arange(1, steps + 1)[:, None] * dt / 1000
    given = x[0, 0].numpy()

    def run(name):
        return from_nir(single(name), **DOUBLE)(x, dt=dt)[:, 0].numpy()

    np.testing.assert_allclose(run("I"), NODES["I"].r * given * now)
    li = NODES["LI"]
    limit = li.v_leak + li.r * given
    np.testing.assert_allclose(run("LI"), limit + (li.v_leak - limit) * np.exp(-now / li.tau))
    fires = NODES["IF"]
    first = np.ceil(fires.v_threshold / (fires.r * given) / (dt / 1000) * (1 + 1e-12)) - 1
    np.testing.assert_array_equal(run("IF").argmax(0), first)
    np.testing.assert_array_equal(run("Threshold")[0], given > NODES["Threshold"].threshold)
    late = run("Delay") != 0
    np.testing.assert_array_equal(late.argmax(0), NODES["Delay"].delay * 1000 / dt)


def image_net():
    torch.manual_seed(0)
    return models.Sequential(
        nn.Conv2d(1, 3, 3, bias=False), dynamics.LIF(v_rest=0.0, v_threshold=5.0, v_reset=-1.0),
        nn.AvgPool2d(2, divisor_override=1), nn.Dropout(), nn.Flatten(), nn.Linear(3 * 2 * 4, 7),
        models.Recurrent(
            dynamics.LIF(tau=nn.Parameter(torch.full((7,), 9.0)), v_rest=0.0, v_threshold=0.5,
                         v_reset=0.0),
            nn.Linear(7, 7),
        ),
        models.Delay(2.0), nn.Linear(7, 5), dynamics.LeakyIntegrator(),
    ).double().eval()  # fmt: skip


@pytest.mark.parametrize("euler", [None, 1.0])
def test_a_network_gives_the_same_after_a_round_trip(euler, tmp_path):
    net = image_net()
    x = 30 * torch.from_numpy(draw(29, 2, 1, 6, 11))
    path = export_nir(net, tmp_path / "net.nir", inputs=(1, 6, 11), euler=euler)
    again = import_nir(path, euler=euler, **DOUBLE)
    y = net(x)
    assert y.abs().sum() > 0
    torch.testing.assert_close(again(x), y, rtol=0, atol=1e-10)
    same(to_nir(again, inputs=(1, 6, 11), euler=euler), nir.read(path))


def test_euler_steps_are_those_of_who_takes_euler_steps():
    node, dt = NODES["CubaLIF"], 0.5
    current, v, spikes = np.zeros(5), node.v_leak, []
    x = draw(50, 5, low=0.0, high=3.0)
    for given in x:
        current = current + dt / 1000 / node.tau_syn * (node.w_in * given - current)
        v = v + dt / 1000 / node.tau_mem * (node.v_leak - v + node.r * current)
        spikes.append(v > node.v_threshold)
        v = np.where(spikes[-1], node.v_reset, v)
    layers = from_nir(single("CubaLIF"), euler=dt, **DOUBLE)
    ours = layers(torch.from_numpy(x)[:, None], dt=dt)[:, 0].numpy()
    assert 10 < np.sum(spikes) < 200
    np.testing.assert_array_equal(ours, spikes)


def test_branches_are_summed_and_circles_wait_a_step():
    one, two = np.eye(3), 2 * np.eye(3)
    nodes = {
        "in": nir.Input({"input": np.array([3])}), "a": nir.Linear(one), "b": nir.Linear(two),
        "out": nir.Output({"output": np.array([3])}),
    }  # fmt: skip
    edges = [("in", "a"), ("in", "b"), ("a", "out"), ("b", "out")]
    x = torch.from_numpy(draw(4, 1, 3))
    torch.testing.assert_close(from_nir(nir.NIRGraph(nodes, edges), **DOUBLE)(x), 3 * x)
    nodes["i"] = nir.I(1000 * np.ones(3))
    edges = [("in", "i"), ("i", "b"), ("b", "i"), ("i", "out"), ("a", "out"), ("in", "a")]
    graph = from_nir(nir.NIRGraph(nodes, edges), **DOUBLE)
    v, expected = torch.zeros(1, 3, dtype=torch.float64), []
    for given in x:
        v = v + given + 2 * v
        expected.append(v + given)
    torch.testing.assert_close(graph(x, dt=1.0), torch.stack(expected))
    first, state = graph.run(x[:2])
    torch.testing.assert_close(torch.cat((first, graph.run(x[2:], state)[0])), graph(x))
    same(to_nir(graph, inputs=3), nir.NIRGraph(nodes, edges))


def test_a_graph_within_a_graph_comes_back():
    inner = nir.NIRGraph(
        {"input": nir.Input({"input": np.array([5])}), "cell": NODES["LIF"],
         "back": nir.Linear(0.1 * draw(5, 5)), "output": nir.Output({"output": np.array([5])})},
        [("input", "cell"), ("cell", "back"), ("back", "cell"), ("cell", "output")],
    )  # fmt: skip
    outer = nir.NIRGraph(
        {"input": nir.Input({"input": np.array([5])}), "inner": inner,
         "output": nir.Output({"output": np.array([5])})},
        [("input", "inner"), ("inner", "output")],
    )  # fmt: skip
    layers = from_nir(outer, **DOUBLE)
    same(to_nir(layers, inputs=5), outer)
    x = torch.from_numpy(draw(19, 2, 5))
    recurrent = models.Recurrent(
        layers.layer("inner").layer("cell"), layers.layer("inner").layer("back")
    )
    torch.testing.assert_close(layers(x), recurrent(x))


def test_gradients_reach_every_weight():
    layers = from_nir(to_nir(image_net(), inputs=(1, 6, 11)))
    layers(30 * torch.rand(11, 2, 1, 6, 11)).sum().backward()
    assert all(weight.grad is not None for weight in layers.parameters())
    assert len(list(layers.parameters())) == 8


@pytest.mark.parametrize(
    ("module", "inputs", "sentence"),
    [
        (nn.Sequential(nn.Linear(5, 3), dynamics.ALIF()), 5, r"layer 1 \(ALIF\) cannot be said"),
        (models.Sequential(nn.Linear(5, 3), models.SpikeCount()), 5, "layer 1"),
        (nn.MaxPool2d(2), (1, 4, 4), "MaxPool2d"),
        (nn.Linear(5, 3), 4, "does not take"),
        (nn.Conv1d(1, 1, 3, padding=1, padding_mode="circular"), (1, 9), "pads with zeros only"),
        (nn.AvgPool2d(2, ceil_mode=True), (1, 5, 5), "no ceil_mode"),
        (nn.AvgPool2d(2, divisor_override=3), (1, 4, 4), "divides by"),
        (models.Delay(1.0, spread=1.0), 5, "no spread"),
        (dynamics.Refractory(dynamics.LIF()), 5, "Refractory"),
    ],
)
def test_what_nir_cannot_say_is_a_sentence_that_names_the_layer(module, inputs, sentence):
    with pytest.raises(ValueError, match=sentence):
        to_nir(module, inputs=inputs)


def test_a_gain_leaves_as_a_scale_and_the_graph_itself_can_be_read():
    net = models.Sequential(
        nn.Linear(5, 3), models.Gain(500.0), dynamics.LIF(), nn.Linear(3, 2), models.Gain(30.0),
        dynamics.LeakyIntegrator(),
    )  # fmt: skip
    nn.init.constant_(net[0].weight, 0.3)
    x = torch.rand(31, 2, 5, generator=torch.Generator().manual_seed(1))
    assert net[:3](x).sum() > 0
    again = import_nir(to_nir(net, inputs=5))
    torch.testing.assert_close(again(x), net(x), rtol=1e-4, atol=1e-3)
    with pytest.raises(TypeError, match="takes a path or a NIRGraph, got int"):
        import_nir(3)
    with pytest.raises(ValueError, match="v_reset=None subtracts"):
        to_nir(dynamics.LIF(v_reset=None), inputs=5)


def test_recurrence_over_a_connectome_leaves_as_a_matrix():
    counts = np.array([[0, 2, 0], [0, 0, -1], [3, 0, 0]])
    wires = wiring.from_matrix(list("ABC"), counts)
    net = models.Recurrent(dynamics.LIF(), models.Connections(wires, scale=40.0))
    x = 300 * torch.rand(61, 2, 3, generator=torch.Generator().manual_seed(1))
    assert net(x).sum() > 0
    torch.testing.assert_close(import_nir(to_nir(net, inputs=3))(x), net(x))
    with pytest.raises(ValueError, match="NIR has no delays of single connections"):
        to_nir(models.Connections(wires.with_connections(delay=2.0)), inputs=3)


def test_bad_graphs_and_files_get_a_sentence(tmp_path):
    with pytest.raises(TypeError, match=r"nir\.NIRGraph"):
        from_nir({"nodes": {}})
    with pytest.raises(ValueError, match="euler must be"):
        from_nir(single("LIF"), euler=0.0)
    with pytest.raises(ValueError, match=r"node 'it' .*shorter than every time constant"):
        from_nir(single("LIF"), euler=50.0)
    bad = single("LIF")
    bad.nodes["it"].tau = -bad.nodes["it"].tau
    with pytest.raises(ValueError, match=r"node 'it' of the graph \(LIF\): .*tau must be positive"):
        from_nir(bad)
    nodes = {"in": nir.Input({"input": np.array([3])}), "a": nir.Linear(np.eye(3)),
             "out": nir.Output({"output": np.array([3])})}  # fmt: skip
    circle = nir.NIRGraph(nodes, [("in", "a"), ("a", "a"), ("a", "out")])
    with pytest.raises(ValueError, match="circle needs a layer with a state"):
        from_nir(circle)
    with pytest.raises(ValueError, match=r"x must be \[T, \*B, 5\]"):
        from_nir(single("LIF"))(torch.zeros(3, 2, 4))
    with pytest.raises(ValueError, match="must end in"):
        export_nir(nn.Linear(3, 3), tmp_path / "net.txt", inputs=3)
    with pytest.raises(FileNotFoundError, match="no folder"):
        export_nir(nn.Linear(3, 3), tmp_path / "no" / "net.nir", inputs=3)
    with pytest.raises(FileNotFoundError, match="no file"):
        import_nir(tmp_path / "net.nir")
    path = export_nir(nn.Linear(3, 3), tmp_path / "net.nir", inputs=3)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match="cannot be read as NIR"):
        import_nir(path)
    with pytest.raises(TypeError, match="LIF or LeakyIntegrator"):
        Cuba(dynamics.ALIF(), tau=1.0, weight=1.0)
    assert isinstance(from_nir(single("Scale")), Graph)
