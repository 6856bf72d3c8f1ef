"""A spiking and a biophysical net under everything that torch does with modules."""

from __future__ import annotations

import copy
import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jacrev, stack_module_state, vmap
from torch.utils import _pytree as pytree

from amphid.models import Sequential

WORK = Path(__file__).with_name("nets_to_train.py")


def nets_to_train() -> Any:
    spec = importlib.util.spec_from_file_location("nets_to_train", WORK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


nets = nets_to_train()
T, B, inputs, loss, gradients = nets.T, nets.B, nets.inputs, nets.loss, nets.gradients
both = pytest.mark.parametrize("make", nets.NETS.values(), ids=nets.NETS.keys())
compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("g++", "c++", "clang++"))),
    reason="torch.compile writes C++ on a CPU, and there is no compiler for it",
)
Make = Callable[[], Sequential]


def named(net: nn.Module) -> dict[str, Tensor]:
    return {name: own.detach().clone() for name, own in net.named_parameters()}


@both
def test_the_nets_have_something_to_lose(make: Make):
    net, x = make().double(), inputs(T, B).double()
    assert loss(net(x)) > 0
    for name, gradient in gradients(net, x).items():
        assert gradient.abs().sum() > 0, name


@compiler
@pytest.mark.filterwarnings("ignore")
def test_compiled_whole_a_spiking_net_does_the_same():
    net, x = nets.spiking(), inputs(3, B)
    expected = gradients(net, x)
    compiled = torch.compile(net, fullgraph=True)
    torch.testing.assert_close(compiled(x), net(x))
    net.zero_grad()
    loss(compiled(x)).backward()
    found = {name: own.grad for name, own in net.named_parameters()}
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


@compiler
@pytest.mark.filterwarnings("ignore")
def test_a_compiled_step_of_a_biophysical_net_does_the_same():
    """A step, since the search for the resting voltage of the first one is long to compile."""
    net, x = nets.biophysical()[:-1], inputs(T, B)
    _, state = net.run(x[:1])
    state = pytree.tree_map(Tensor.detach, state)
    compiled = torch.compile(net.step, fullgraph=True)
    found = []
    for step in (compiled, net.step):
        net.zero_grad()
        after, y = step(state, x[1])
        loss(y).backward()
        found.append((after, y, [own.grad for own in net.parameters()]))
    pair = [pytree.tree_leaves(one) for one in found]
    torch.testing.assert_close(*pair, rtol=1e-4, atol=1e-4)


@both
def test_vmap_is_a_loop_over_examples(make: Make):
    net, x = make().double(), inputs(3, T, B).double()
    torch.testing.assert_close(vmap(net)(x), torch.stack([net(one) for one in x]))


@both
def test_an_ensemble_runs_side_by_side(make: Make):
    members = [make().double() for _ in range(3)]
    for number, member in enumerate(members):
        with torch.no_grad():
            member[0].weight.mul_(1 + 0.1 * number)
    parameters, buffers = stack_module_state(members)
    x = inputs(T, B).double()
    together = vmap(lambda p, b: functional_call(members[0], (p, b), (x,)))(parameters, buffers)
    torch.testing.assert_close(together, torch.stack([member(x) for member in members]))


@both
def test_grad_of_a_functional_call_is_that_of_backward(make: Make):
    net, x = make().double(), inputs(T, B).double()
    found = grad(lambda p: loss(functional_call(net, p, (x,))))(named(net))
    torch.testing.assert_close(found, gradients(net, x))
    assert all(own.grad is not None for own in net.parameters())


@both
def test_jacobians_are_rows_of_gradients(make: Make):
    net, x = make().double(), inputs(T, 1).double()
    found = jacrev(lambda p: functional_call(net, p, (x,))[0])(named(net))
    for place in range(3):
        net.zero_grad()
        net(x)[0, place].backward()
        rows = {name: own[place] for name, own in found.items()}
        torch.testing.assert_close(rows, {name: own.grad for name, own in net.named_parameters()})


@both
def test_gradients_of_examples_by_vmap_of_grad(make: Make):
    net, x = make().double(), inputs(T, B).double()
    each = vmap(grad(lambda p, one: loss(functional_call(net, p, (one[:, None],)))), (None, 1))
    found = {name: own.mean(0) for name, own in each(named(net), x).items()}
    torch.testing.assert_close(found, gradients(net, x))


@both
def test_a_state_dict_holds_parameters_only_and_loads_strictly(make: Make):
    net, other, x = make(), make(), inputs(T, B)
    with torch.no_grad():
        for own in net.parameters():
            own.mul_(1.01)
    net.run(x)
    assert net.state_dict().keys() == dict(net.named_parameters()).keys()
    assert not torch.equal(net(x), other(x))
    other.load_state_dict(net.state_dict(), strict=True)
    torch.testing.assert_close(net(x), other(x), rtol=0, atol=0)


@both
def test_weights_travel_in_files_that_run_no_code(make: Make, tmp_path: Path):
    net, other, x = make(), make(), inputs(T, B)
    with torch.no_grad():
        net[0].weight.mul_(1.1)
    torch.save(net.state_dict(), tmp_path / "net.pt")
    other.load_state_dict(torch.load(tmp_path / "net.pt", weights_only=True))
    torch.testing.assert_close(net(x), other(x), rtol=0, atol=0)


@both
def test_safetensors_hold_the_weights(make: Make, tmp_path: Path):
    files = pytest.importorskip("safetensors.torch", reason="safetensors is not installed")
    net, other, x = make(), make(), inputs(T, B)
    with torch.no_grad():
        net[0].weight.mul_(1.1)
    files.save_file(net.state_dict(), tmp_path / "net.safetensors")
    other.load_state_dict(files.load_file(tmp_path / "net.safetensors"))
    torch.testing.assert_close(net(x), other(x), rtol=0, atol=0)


@both
def test_a_type_changes_all_of_it(make: Make):
    net, x = make().double(), inputs(T, B).double()
    y, state = net.run(x)
    leaves = [leaf for leaf in pytree.tree_leaves(state) if leaf.is_floating_point()]
    assert {leaf.dtype for leaf in (y, *leaves, *net.parameters())} == {torch.float64}
    # a first layer of a few thousand pA per unit leaves single precision five digits
    torch.testing.assert_close(net.float()(x.float()), y.float(), rtol=1e-3, atol=1e-3)


@both
def test_no_tensor_stays_behind_when_it_moves(make: Make):
    net, x = make().to("meta"), inputs(T, B).to("meta")
    y, state = net.run(x)
    assert {leaf.device.type for leaf in (y, *pytree.tree_leaves(state))} == {"meta"}


@both
def test_under_autocast_membranes_are_in_full_precision(make: Make):
    net, x = make(), inputs(T, B)
    expected = gradients(net, x)
    net.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, state = net.run(x)
        value = loss(net(x))
    value.backward()
    floats = [leaf for leaf in pytree.tree_leaves(state[1]) if leaf.is_floating_point()]
    assert {leaf.dtype for leaf in (y, *floats)} == {torch.float32}
    for name, own in net.named_parameters():
        assert own.grad.dtype == torch.float32
        assert own.grad.isfinite().all(), name
    ratio = net[0].weight.grad.norm() / expected["0.weight"].norm()
    assert 0.2 < ratio < 5


@both
def test_a_copy_is_a_net_of_its_own(make: Make):
    net, x = make(), inputs(T, B)
    other = copy.deepcopy(net)
    torch.testing.assert_close(net(x), other(x), rtol=0, atol=0)
    with torch.no_grad():
        other[0].weight.mul_(2)
    assert not torch.equal(net(x), other(x))


@both
@pytest.mark.filterwarnings("ignore")
def test_an_exported_net_does_the_same(make: Make):
    net, x = make(), inputs(3, B)
    exported = torch.export.export(net, (x,), strict=False)
    torch.testing.assert_close(exported.module()(x), net(x))


def test_two_ranks_find_the_gradients_of_one_process(tmp_path: Path):
    ranks = [
        subprocess.Popen(
            [sys.executable, str(WORK), str(rank), "2", str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    said = [rank.communicate(timeout=300)[0] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], "\n".join(said)
    found = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    for name, make in nets.NETS.items():
        expected = gradients(make().double(), inputs(T, B).double())
        for own in found:
            gradient = {key.removeprefix("module."): value for key, value in own[name].items()}
            torch.testing.assert_close(gradient, expected)
