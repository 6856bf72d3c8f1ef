"""One step of a neuron, a network or layers as a file that runs without this package.

Such a file is a program, state in and state out, so that a robot, a phone or another language can
run what was trained here, one step at a time, for ever. `.pt2` runs wherever torch does, `.onnx`
wherever ONNX does. The batch may have any size; weights, dt and the device of the module are fixed
when the file is written.

The file also holds what else is needed: dt, the names of the tensors and the state at rest.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from amphid.dynamics.values import is_number
from amphid.models import Recurrent
from amphid.models.layer import Layer, Readout
from amphid.simulation import Network
from amphid.simulation.stepping import choose

FORMAT = 1
_KEY = "amphid"

State = dict[str, Tensor]


@dataclass(frozen=True)
class Step:
    """A step read from a file: `state, output = step(state, x)`.

    dt: ms that a step takes. inputs: shape of the input of one trial, without the batch.
    """

    dt: float
    inputs: tuple[int, ...]
    state: State  # at rest, of one trial
    axes: Mapping[str, int]  # of the batch, by name
    run: Callable[[list[Tensor]], list[Tensor]]

    def rest(self, batch: int = 1) -> State:
        """The state at rest of so many trials."""
        return {
            name: held.repeat_interleave(batch, self.axes[name])
            for name, held in self.state.items()
        }

    def __call__(self, state: Mapping[str, Tensor], x: Tensor) -> tuple[State, Tensor]:
        """State and output [B, K] after a step with the input [B, *inputs].

        Raises ValueError for another shape, or for a state of other names.
        """
        if x.shape[1:] != self.inputs:
            raise ValueError(
                f"x must be [B, {', '.join(map(str, self.inputs))}], got shape {list(x.shape)}."
            )
        if x.dtype != (held := next(iter(self.state.values()), x).dtype) and x.is_floating_point():
            raise TypeError(f"x must be of type {held}, as the step in the file is; got {x.dtype}.")
        if wrong := [n for n in state if n in self.axes and state[n].shape[self.axes[n]] != len(x)]:
            raise ValueError(
                f"x has {len(x)} trials, but state {wrong[0]!r} has "
                f"{state[wrong[0]].shape[self.axes[wrong[0]]]}: begin with rest(batch={len(x)})."
            )
        if set(state) != set(self.state):
            raise ValueError(f"state must hold {', '.join(self.state)}, got {', '.join(state)}.")
        *after, output = self.run([*(state[name] for name in self.state), x])
        return dict(zip(self.state, after, strict=True)), output


def export_step(
    module: nn.Module, path: str | Path, *, inputs: int | tuple[int, ...], dt: float = 1.0
) -> Path:
    """Write one step of dt ms of a neuron, a `Network`, or a Sequential of layers.

    inputs: shape of what one trial receives in a step, such as the number of cells. The suffix
    decides the format: .pt2 (`torch.export`), or .onnx, which needs the extra `onnx`. Dropout and
    batch norm act as in evaluation. The file appears whole or not at all.

    Raises ValueError for another suffix, TypeError for a module that has no step, and ValueError,
    naming the operation, for what the format cannot say.
    """
    path = Path(path)
    if not isinstance(module, nn.Module):
        raise TypeError(f"module must be an nn.Module such as LIF(), got {module!r}.")
    shape = (inputs,) if isinstance(inputs, int) else tuple(inputs)
    if not (is_number(dt) and dt > 0):
        raise ValueError(f"dt must be a positive number of ms, got {dt!r}.")
    if path.suffix not in (".pt2", ".onnx"):
        raise ValueError(f"the file must end in .pt2 or .onnx, got {path.name!r}.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: there is no folder {path.parent}.")
    training = module.training
    module.eval()
    try:
        with torch.no_grad():
            one = _Flat(module, shape, dt)
            write = _write_pt2 if path.suffix == ".pt2" else _write_onnx
            part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
            try:
                write(one, part)
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
    finally:
        module.train(training)
    return path


def load_step(path: str | Path) -> Step:
    """Read a step that `export_step` wrote; an .onnx one needs onnxruntime.

    Raises FileNotFoundError, or ValueError for a file that is none or is damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}.")
    read = _read_onnx if path.suffix == ".onnx" else _read_pt2
    try:
        about, run = read(path)
        told = json.loads(about)
        state = _unpacked(told["rest"])
        axes = told["axes"]
    except (KeyError, json.JSONDecodeError):
        raise ValueError(f"{path} holds no step written by export_step.") from None
    if told["format"] > FORMAT:
        raise ValueError(f"{path} was written by a newer amphid: pip install --upgrade amphid")
    ordered = {name: state[name] for name in axes}
    return Step(told["dt"], tuple(told["inputs"]), ordered, axes, run)


class _Flat(nn.Module):
    """A step whose state is a list of tensors."""

    def __init__(self, module: nn.Module, shape: tuple[int, ...], dt: float) -> None:
        super().__init__()
        self.module, self.shape, self.dt = module, shape, dt
        like = next((p for p in module.parameters() if p.is_floating_point()), torch.zeros(()))
        self.like = like.detach()
        self._step = stepping(module, dt)
        try:
            self.one, self.two = (rest(module, self.like.new_zeros(n, *shape), dt) for n in (1, 2))
        except RuntimeError as error:
            raise ValueError(
                f"{type(module).__name__} takes no step on inputs of shape {list(shape)}: {error}."
            ) from None
        paths, self.form = pytree.tree_flatten_with_path(self.two)
        self.held = [isinstance(leaf, Tensor) for _, leaf in paths]  # None is a leaf too
        self.names = [_named(keys) for keys, leaf in paths if isinstance(leaf, Tensor)]
        leaves, self.firsts = self._tensors(self.two), self._tensors(self.one)
        self.example = [*(leaf.clone() for leaf in leaves), self.like.new_zeros(2, *shape)]
        self.axes = [_batch_axis(a, b) for a, b in zip(self.firsts, leaves, strict=True)]

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        given = iter(tensors)
        leaves = [next(given) if held else None for held in self.held]
        state, output = self._step(pytree.tree_unflatten(leaves, self.form), next(given))
        return (*self._tensors(state), output)

    def _tensors(self, state: Any) -> list[Tensor]:
        return [leaf for leaf in pytree.tree_leaves(state) if isinstance(leaf, Tensor)]

    def dynamic(self) -> Any:
        batch = torch.export.Dim("batch")
        return (tuple({axis: batch} for axis in [*self.axes, 0]),)

    def about(self) -> str:
        held = dict(zip(self.names, self.firsts, strict=True))
        return json.dumps(
            {
                "format": FORMAT,
                "dt": self.dt,
                "inputs": list(self.shape),
                "axes": dict(zip(self.names, self.axes, strict=True)),
                "rest": _packed(held),
            }
        )


def stepping(module: nn.Module, dt: float) -> Callable[[Any, Tensor], tuple[Any, Tensor]]:
    """One step of dt ms: state and input [B, N] to state and output [B, K].

    Raises TypeError for a module that has a state but no step.
    """
    if isinstance(module, Network):
        return _network_step(module, dt)
    if isinstance(module, nn.Sequential):
        parts = [stepping(part, dt) for part in module]

        def through(state: Any, x: Tensor) -> tuple[Any, Tensor]:
            after = []
            for part, own in zip(parts, state, strict=True):
                own, x = part(own, x)
                after.append(own)
            return tuple(after), x

        return through
    if hasattr(module, "stepping"):
        made: Callable[[Any, Tensor], tuple[Any, Tensor]] = module.stepping(dt)  # type: ignore[operator]
        return made
    if hasattr(module, "step") and hasattr(module, "init"):
        return lambda state, x: module.step(state, x, dt)  # type: ignore[operator]
    if hasattr(module, "run") or isinstance(module, nn.RNNBase):
        raise TypeError(f"{type(module).__name__} has a state, but no init and step to export.")
    return lambda state, x: (state, module(x))


def rest(module: nn.Module, x: Tensor, dt: float) -> Any:
    """The state at rest, for an input shaped as x [B, N]."""
    if isinstance(module, Network):
        return module.init(x, module.wires(dt))
    if isinstance(module, nn.Sequential):
        states = []
        for part in module:
            states.append(rest(part, x, dt))
            x = stepping(part, dt)(states[-1], x)[1]
        return tuple(states)
    if isinstance(module, Recurrent):
        state = module.init(x)
        return state._replace(projection=rest(module.projection, state.given, dt))
    return module.init(x) if hasattr(module, "init") else _still(module, x, dt)  # type: ignore[operator]


def _still(module: nn.Module, x: Tensor, dt: float) -> Any:
    """The state of a layer to which nothing came yet, as it stands after any step."""
    if not isinstance(module, Layer):
        return ()
    after = module.stepping(dt)(None, x)[0]
    if isinstance(module, Readout) and pytree.tree_leaves(after):
        raise TypeError(
            f"{type(module).__name__} looks at a whole sequence, which a step has not: export the "
            "layers before it, net[:-1], and read out what they give."
        )
    return pytree.tree_map(torch.zeros_like, after)  # nothing is under way


def _network_step(network: Network, dt: float) -> Callable[[Any, Tensor], tuple[Any, Tensor]]:
    made = network.wires(dt)
    # ONNX adds at places that are counted in 64 bits only
    wires = {
        key: replace(own, pre=own.pre.long(), post=own.post.long()) for key, own in made.items()
    }
    step = choose(network, wires, dt)

    def once(state: Any, x: Tensor) -> tuple[Any, Tensor]:
        after = step(state, x)
        return after, after.given

    return once


def _write_pt2(one: _Flat, part: Path) -> None:
    program = _said(
        lambda: torch.export.export(one, tuple(one.example), dynamic_shapes=one.dynamic()), ".pt2"
    )
    torch.export.save(program, part, extra_files={_KEY: one.about()})


def _write_onnx(one: _Flat, part: Path) -> None:
    try:
        import onnxscript  # noqa: F401
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "ONNX files need onnxscript: pip install 'amphid[onnx]'"
        ) from None
    names = [*one.names, "x"]
    program: Any = _said(
        lambda: torch.onnx.export(
            one.eval(),
            tuple(one.example),
            dynamo=True,
            verbose=False,
            input_names=names,
            output_names=[f"next.{name}" for name in one.names] + ["output"],
            dynamic_shapes=one.dynamic(),
        ),
        ".onnx",
    )
    program.model.metadata_props[_KEY] = one.about()
    program.save(part)


def _said(write: Callable[[], Any], suffix: str) -> Any:
    """What `write` returns; its complaint, in one sentence, as a ValueError."""
    log = logging.getLogger("torch.onnx")  # it tells of packages that nobody needs here
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return write()
    except Exception as error:  # whatever the exporter runs into
        text = str(error).partition("## Exception summary")
        reason = " ".join((text[2] or text[0]).split())[:300]
        raise ValueError(f"this step cannot be written as {suffix}: {reason}") from None
    finally:
        log.setLevel(level)


def _read_pt2(path: Path) -> tuple[str, Callable[[list[Tensor]], list[Tensor]]]:
    extra = {_KEY: ""}
    if not zipfile.is_zipfile(path):  # torch would fill the log first
        raise ValueError(f"{path} cannot be read as a .pt2 file: it is damaged, or another kind.")
    try:
        program = torch.export.load(path, extra_files=extra).module()
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{path} cannot be read as a .pt2 file: {reason}") from None
    return extra[_KEY], lambda tensors: list(program(*tensors))


def _read_onnx(path: Path) -> tuple[str, Callable[[list[Tensor]], list[Tensor]]]:
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "running an ONNX file needs onnxruntime: pip install onnxruntime"
        ) from None
    try:
        session = onnxruntime.InferenceSession(path)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{path} cannot be read as an .onnx file: {reason}") from None
    names = [held.name for held in session.get_inputs()]

    def run(tensors: list[Tensor]) -> list[Tensor]:
        given = {name: tensor.numpy() for name, tensor in zip(names, tensors, strict=True)}
        return [torch.from_numpy(value) for value in session.run(None, given)]

    return session.get_modelmeta().custom_metadata_map[_KEY], run


def _named(keys: Any) -> str:
    """A name such as "0.v" from the way to a leaf."""
    words = (getattr(key, "name", getattr(key, "key", getattr(key, "idx", key))) for key in keys)
    return ".".join(map(str, words))


def _batch_axis(one: Tensor, two: Tensor) -> int:
    """The axis along which two trials have two entries."""
    for axis, (a, b) in enumerate(zip(one.shape, two.shape, strict=True)):
        if (a, b) != (1, 1) and b == 2 * a:
            return axis
    raise ValueError("part of the state is shared by all trials, which a step file cannot hold.")


def _packed(tensors: Mapping[str, Tensor]) -> str:
    from safetensors.torch import save

    held = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
    return base64.b64encode(save(held)).decode()


def _unpacked(text: str) -> State:
    from safetensors.torch import load

    return dict(load(base64.b64decode(text)))
