"""What a module was when something was made of it, so that a change is seen at little cost."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class Mark:
    """What one module holds, without its parts.

    A change of an attribute is seen, and of one that can be changed in place too; so is another
    parameter or part, a number of a cell that was changed in place, and a hook. Weights and biases
    of linear maps may change.
    """

    def __init__(self, module: nn.Module) -> None:
        held = vars(module)
        linear = type(module) is nn.Linear
        self.live = held, module._buffers, module._modules, {} if linear else module._parameters
        self.then = [dict(own) for own in self.live]
        self.hooks = [held[name] for name in HOOKS]
        numbers: list[Tensor] = [] if linear else [*module.parameters(recurse=False)]
        numbers += [*module.buffers(recurse=False)]
        own = [value for name, value in held.items() if name not in _EVERY]
        self.numbers = [*numbers, *(value for value in own if isinstance(value, Tensor))]
        self.versions = [number._version for number in self.numbers]
        self.changing = [value for value in own if not _settled(value)]
        self.shown = list(map(repr, self.changing))

    def holds(self) -> bool:
        """Whether all of that is as it was."""
        try:
            same = all(map(dict.__eq__, self.live, self.then))
        except RuntimeError:  # another tensor where one was, which cannot be compared as a whole
            return False
        return (
            same
            and not any(self.hooks)
            and all(map(_is_of, self.numbers, self.versions))
            and (not self.changing or list(map(repr, self.changing)) == self.shown)
        )


_EVERY = frozenset(vars(nn.Module()))


def _is_of(number: Tensor, version: int) -> bool:
    return number._version == version


def _settled(value: Any) -> bool:
    """Whether it cannot be changed in place, or counts its changes."""
    try:
        hash(value)
    except TypeError:
        return False
    return True
