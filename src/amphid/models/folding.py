"""Ordinary torch modules over time: applied once, with all time steps folded into the batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

from amphid.dynamics import Mixed
from amphid.dynamics.values import Equation
from amphid.kernels import project

MAPS: dict[int, tuple[type[nn.Module], ...]] = {
    2: (
        *(nn.Conv1d, nn.ConvTranspose1d, nn.MaxPool1d, nn.AvgPool1d, nn.LPPool1d),
        *(nn.AdaptiveAvgPool1d, nn.AdaptiveMaxPool1d, nn.InstanceNorm1d, nn.Dropout1d),
    ),
    3: (
        *(nn.Conv2d, nn.ConvTranspose2d, nn.MaxPool2d, nn.AvgPool2d, nn.LPPool2d),
        *(nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.InstanceNorm2d, nn.Dropout2d),
        *(nn.BatchNorm2d, nn.PixelShuffle, nn.PixelUnshuffle, nn.UpsamplingBilinear2d),
    ),
    4: (
        *(nn.Conv3d, nn.ConvTranspose3d, nn.MaxPool3d, nn.AvgPool3d, nn.AdaptiveAvgPool3d),
        *(nn.AdaptiveMaxPool3d, nn.InstanceNorm3d, nn.Dropout3d, nn.BatchNorm3d),
    ),
}
"""Modules by how many axes an example has for them: channels, then space."""

AXES = {2: "[C, L]", 3: "[C, H, W]", 4: "[C, D, H, W]"}


@dataclass
class Leading:
    """The leading axes of what passes through: time, if it is there yet, and the batch.

    axes: how many they are, None until a layer tells, such as a `Conv2d`, before which all but
    three are leading. timed: whether the first of them is time.
    """

    timed: bool = True
    axes: int | None = None

    def of(self, x: Tensor) -> int:
        """How many they are; where no layer told, time and one axis of batch."""
        return min(1 + self.timed, x.dim() - 1) if self.axes is None else self.axes

    def gain(self) -> None:
        """A layer put time in front."""
        self.axes, self.timed = None if self.axes is None else self.axes + 1, True

    def lose(self) -> None:
        """A layer took time away."""
        self.axes, self.timed = None if self.axes is None else self.axes - 1, False


def folded(name: str, module: nn.Module, x: Tensor, leading: Leading) -> Tensor:
    """What an ordinary module gives for all time steps at once.

    Raises ValueError naming the layer and the axis that does not fit.
    """
    told = _told(name, module, x, leading)
    leading.axes = told if leading.axes is None else leading.axes
    _check_size(name, module, x, leading.of(x))
    axes = leading.of(x)
    if axes < 2 or isinstance(module, nn.Linear):
        return _called(name, module, x)
    y = _called(name, module, x.flatten(0, axes - 1))
    return y.unflatten(0, x.shape[:axes])


def check_cells(name: str, neuron: nn.Module, shape: torch.Size) -> None:
    """Raise ValueError for values of a neuron that do not fit its cells [*B, N]."""
    kinds = [m for m in neuron.modules() if isinstance(m, Equation)]
    if any(isinstance(kind, Mixed) for kind in kinds):
        return  # the values of its parts are for some of the cells
    for kind in kinds:
        for own, value in kind.values():
            if isinstance(value, Tensor) and value.dim() and not _fits(value, shape):
                raise ValueError(
                    f"layer {name} ({type(neuron).__name__}): {own} has shape "
                    f"{list(value.shape)}, which does not fit cells [*B, N] = {list(shape)}. One "
                    f"value for each along an axis is given with ones behind it: {_hint(value)}."
                )


def check_type(label: str, module: nn.Module, x: Tensor) -> None:
    """Raise TypeError for an input of another type than the weights of a module."""
    weights = next((p for p in module.parameters() if p.is_floating_point()), None)
    if weights is None or weights.dtype == x.dtype or torch.is_autocast_enabled(x.device.type):
        return
    held, got = (str(own.dtype).removeprefix("torch.") for own in (weights, x))
    raise TypeError(
        f"{label} holds numbers of type {held}, but its input is {got}: x.to(torch.{held}) "
        f"changes the input"
        + (f", model.to(torch.{got}) the model." if x.is_floating_point() else ".")
    ) from None


def check_ordinary(name: str, module: nn.Module) -> None:
    """Raise TypeError for a module that hides a layer with time of its own."""
    if isinstance(module, nn.RNNBase) and module.batch_first:
        raise ValueError(
            f"layer {name} ({type(module).__name__}) has batch_first=True, but time is first here."
        )
    inside = [key for key, part in module.named_modules() if key and has_time(part)]
    if inside and not has_time(module):
        raise TypeError(
            f"layer {name} ({type(module).__name__}) holds a layer with a state, {inside[0]!r}, "
            "but has no run(x, state, dt): its time would be folded into the batch. Make it an "
            "amphid.Sequential, or give it run."
        )


def has_time(module: nn.Module) -> bool:
    """Whether a module takes whole sequences, and a state."""
    return hasattr(module, "run") or isinstance(module, nn.RNNBase)


def _told(name: str, module: nn.Module, x: Tensor, leading: Leading) -> int | None:
    """How many leading axes there must be before such a module, if it tells."""
    if isinstance(module, nn.BatchNorm1d):
        near = [k for k in (1, 2) if k < x.dim() and x.shape[-k] == module.num_features]
        return x.dim() - near[0] if near else None
    if isinstance(module, nn.Linear):
        return x.dim() - 1
    for size, kinds in MAPS.items():
        if isinstance(module, kinds):
            given = x.dim() - size
            known = given if leading.axes is None else leading.axes
            if given < 1 or given != known:
                before = ", ".join(["T"] * leading.timed + ["*B"])
                raise ValueError(
                    f"layer {name} ({type(module).__name__}) takes {AXES[size]} after [{before}], "
                    f"{known + size if known > 0 else 'at least ' + str(size + 1)} axes in all; "
                    f"got shape {list(x.shape)}."
                )
            return given
    return None


def _check_size(name: str, module: nn.Module, x: Tensor, leading: int) -> None:
    """Raise ValueError where features or channels are not as many as a module has."""
    axis = -1 if isinstance(module, nn.Linear) else leading - x.dim()
    for key in ("in_features", "in_channels", "num_features"):
        wanted: Any = getattr(module, key, None)
        if isinstance(wanted, int) and wanted and x.shape[axis] != wanted:
            what = "channels" if key == "in_channels" or axis < -1 else "features"
            raise ValueError(
                f"layer {name} ({type(module).__name__}) takes {wanted} {what} along axis {axis}, "
                f"but there are {x.shape[axis]}: the input of this layer has shape "
                f"{list(x.shape)}."
            )


def _called(name: str, module: nn.Module, x: Tensor) -> Tensor:
    if torch.compiler.is_compiling():
        y = module(x)
    else:
        try:
            y = project(x, module.weight, module.bias) if _is_plain(module, x) else module(x)
        except Exception as error:
            check_type(f"layer {name} ({type(module).__name__})", module, x)
            error.add_note(f"in layer {name} ({type(module).__name__}), for {list(x.shape)}")
            raise
    if not isinstance(y, Tensor):
        raise TypeError(
            f"layer {name} ({type(module).__name__}) gave a {type(y).__name__}, not a tensor: wrap "
            "it in a module that returns the one to pass on."
        )
    return y


def _is_plain(module: nn.Module, x: Tensor) -> TypeGuard[nn.Linear]:
    """Whether it is a linear map and nothing else, so that spikes may be looked at as events."""
    return type(module) is nn.Linear and x.device.type == "cpu" and is_untouched(module)


def is_untouched(module: nn.Module) -> bool:
    """Whether nothing listens to a module on a processor, changes it, or makes it less precise."""
    touched = (
        "forward" in vars(module)
        or module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or torch.is_autocast_enabled("cpu")
    )
    return not touched


def _fits(value: Tensor, shape: torch.Size) -> bool:
    if value.dim() > len(shape):
        return False
    ends = zip(value.shape[::-1], shape[::-1], strict=False)
    return all(own in (1, there) for own, there in ends)


def _hint(value: Tensor) -> str:
    return f"[{value.shape[0]}, 1, 1] for channels of [*B, C, H, W]"
