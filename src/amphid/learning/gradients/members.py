"""A loss at many sets of parameters at once: the members of a population, side by side."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.func import vmap
from torch.utils import _pytree as pytree

from amphid.learning.fitting.draws import Draws
from amphid.learning.gradients.factored import Factored, Factors, factored, parted
from amphid.learning.watching import tensors_in
from amphid.models.sequential import as_chain

if TYPE_CHECKING:
    from amphid.learning.gradients.objective import Objective

Member = tuple[dict[str, Tensor], Factors]

ROOM = 2**27  # bytes for what the layers give out for the members of one chunk

REMEMBERED = 16  # losses

_searched: dict[int, tuple[object, list[torch.Generator]]] = {}
_ways: weakref.WeakKeyDictionary[nn.Module, dict[Any, int]] = weakref.WeakKeyDictionary()


def losses_together(
    objective: Objective, members: Mapping[str, Tensor | Factored], chunk: int | None = None
) -> Tensor:
    """Losses [S, *owners] of S members, in chunks of so many; without gradients.

    members: parameters by name, each [S, *shape], or low-rank changes of one. chunk: as many as fit
    in `ROOM` when None. All members see the same random numbers, and generators are left where one
    evaluation leaves them.
    Raises ValueError for members that do not go with one another or with the parameters.
    """
    if chunk is None and (known := _losses_straight(objective, members)) is not None:
        return known
    count = _count(objective, members)
    size = _even(count, _fitting(objective, members)) if chunk is None else chunk
    base, plain, factors = parted(objective.model, members)
    draws = Draws(_sources(objective.loss), (objective.model,))
    before, found = draws.now(), []
    with torch.no_grad(), factored(objective.model, base) as setting:
        for low in range(0, count, size):
            part = pytree.tree_map(lambda own: own[low : low + size].detach(), (plain, factors))  # noqa: B023
            _rewind(draws, before)
            found.append(_Chunk(objective, draws, setting).losses(part))
    return torch.cat(found)


def _losses_straight(
    objective: Objective, members: Mapping[str, Tensor | Factored]
) -> Tensor | None:
    """The same where the model is a chain of machine code, called past all that torch does.

    None where it is not, or where members are no plain weights that fit at once. Only the loss can
    draw random numbers then, and it is asked once.
    """
    own = {name: held.detach() for name, held in members.items() if isinstance(held, Tensor)}
    if not own or len(own) < len(members):
        return None
    watched = objective.start is not None or any(one.watches for one in objective.penalties)
    if watched or _ways.get(objective.model, {}).get(_kind(objective), 0):
        return None
    with torch.no_grad():
        outputs = _outputs_straight(objective, own)
        return None if outputs is None else _judged_together(objective, outputs, own)


def _outputs_straight(objective: Objective, members: dict[str, Tensor]) -> Tensor | None:
    model, x = objective.model, objective.inputs
    if (way := as_chain(model, x, objective.dt)) is None:
        return None
    fixed = {k: held.detach()[None] for k, held in objective.fixed.items() if k not in members}
    held = {**fixed, **members}
    counts = {len(own) for own in members.values()}
    entries = 4 * max(counts) * x.numel() // x.shape[-1] * way.widest  # the loss makes some too
    if len(counts) > 1 or 0 in counts or not way.takes(held) or entries * x.dtype.itemsize > ROOM:
        return None
    return way.members(x, held)


def _judged_together(
    objective: Objective, outputs: Tensor, members: dict[str, Tensor]
) -> Tensor | None:
    """Losses [S, *owners] of outputs [S, ...], or None where vmap cannot follow."""
    draws, ear = Draws(_sources(objective.loss), ()), objective.listening().ear
    before = draws.now()

    def judge(given: Tensor, own: dict[str, Tensor]) -> Tensor:
        return objective.judged(given, own, ear)

    try:
        found: Tensor = vmap(judge, randomness="same")(
            outputs, members if objective.penalties else {}
        )
    except Exception:  # what is wrong with the objective itself, the other ways tell
        _rewind(draws, before)
        return None
    return found


class _Chunk:
    """Some members of an objective, evaluated in the first of three ways that torch can follow.

    Numbers are drawn and buffers moved as one evaluation does, whatever ways were tried before.
    """

    def __init__(
        self, objective: Objective, draws: Draws, setting: Callable[[Factors], None]
    ) -> None:
        self.objective, self.draws, self.setting = objective, draws, setting
        self.before = draws.now()
        model = objective.model
        self.buffers = [(own, own.clone()) for own in model.buffers()] if model.training else []

    def losses(self, part: Member) -> Tensor:
        """The losses [S, *owners] of the members."""
        ways = (self.mapped, self.mapped_model, self.one_by_one)
        known = _ways.setdefault(self.objective.model, {})
        first = known.get(key := _kind(self.objective), 0)
        for place, way in enumerate(ways[first:], first):
            try:
                found = way(part)
            except Exception:  # what is wrong with the objective itself, the last way tells
                if way == ways[-1]:
                    raise
                self.restore()
            else:
                known[key] = place
                return found
        raise AssertionError

    def restore(self) -> None:
        """Take back what an attempt drew and moved."""
        _rewind(self.draws, self.before)
        for buffer, value in self.buffers:
            buffer.copy_(value)

    def mapped(self, part: Member) -> Tensor:
        """All at once."""
        found: Tensor = vmap(self._loss, randomness="same")(part)
        return found

    def mapped_model(self, part: Member) -> Tensor:
        """All at once through the model, and one by one through a loss that takes plain numbers."""
        if any(penalty.watches for penalty in self.objective.penalties):
            return self.one_by_one(part)
        outputs = vmap(self._outputs, randomness="same")(part)
        after, losses = self.draws.now(), []
        with self.objective.listening() as ear:
            for given, (own, _) in zip(_members(outputs), _members(part), strict=True):
                _rewind(self.draws, after)
                losses.append(self.objective.judged(given, own, ear))
        return torch.stack(losses)

    def one_by_one(self, part: Member) -> Tensor:
        """One after another."""
        losses = []
        for member in _members(part):
            _rewind(self.draws, self.before)
            losses.append(self._loss(member))
        return torch.stack(losses)

    def _loss(self, member: Member) -> Tensor:
        own, factors = member
        self.setting(factors)
        return self.objective(own)

    def _outputs(self, member: Member) -> Any:
        own, factors = member
        self.setting(factors)
        return self.objective.outputs(own)[0]


def _sources(loss: object) -> list[torch.Generator]:
    """The generators that a loss draws from; remembered, since it may refer to anything."""
    if id(loss) not in _searched:
        while len(_searched) >= REMEMBERED:
            _searched.pop(next(iter(_searched)))
        _searched[id(loss)] = loss, Draws((), (loss,)).generators
    return _searched[id(loss)][1]


def _members(part: Any) -> Iterator[Any]:
    """What each member has in a tree of tensors [S, ...]."""
    leaves, structure = pytree.tree_flatten(part)
    for own in zip(*(leaf.unbind(0) for leaf in leaves), strict=True):
        yield pytree.tree_unflatten(own, structure)


def _rewind(draws: Draws, before: dict[str, Any]) -> None:
    """Put all generators back, torch's own too where it was drawn from."""
    draws.drawn()
    draws.put(before)


def _kind(objective: Objective) -> Any:
    """What the ways that torch can follow depend on besides the model."""
    loss = objective.loss
    penalties = tuple(type(penalty) for penalty in objective.penalties)
    return getattr(loss, "__code__", type(loss)), penalties, objective.model.training


def _count(objective: Objective, members: Mapping[str, Tensor | Factored]) -> int:
    """How many members there are."""
    if not members:
        raise ValueError("members must hold at least one parameter, [S, *shape], got none.")
    known: dict[str, Tensor] = dict(objective.model.named_parameters(remove_duplicate=False))
    known |= dict(objective.model.named_buffers(remove_duplicate=False))
    for name, own in members.items():
        if name not in known:
            raise ValueError(
                f"members must be named like parameters of the model: it has no {name!r}, but "
                f"{', '.join(known) or 'none at all'}."
            )
        shape = own.shape[1:] if isinstance(own, Tensor) else own.base.shape
        if shape != known[name].shape:
            raise ValueError(
                f"members[{name!r}] must be [S, *shape] = [S, "
                f"{', '.join(map(str, known[name].shape))}], got {[len(own), *shape]}."
            )
    counts = {name: len(own) for name, own in members.items()}
    if len(set(counts.values())) > 1 or not (count := next(iter(counts.values()))):
        raise ValueError(f"members must be as many for all parameters, at least one, got {counts}.")
    return count


def _even(count: int, most: int) -> int:
    """How many to take at a time so that all chunks are about as large."""
    return -(-count // -(-count // most))


def _fitting(objective: Objective, members: Mapping[str, Tensor | Factored]) -> int:
    """How many members may be evaluated at once in the memory that is meant for it."""
    entries = sum(own.numel() for own in tensors_in(objective.inputs))
    maps = [own.shape for own in objective.model.parameters() if own.dim() > 1]
    growth = sum(shape[0] for shape in maps) / maps[0][1] if maps else 1.0
    kept = 4 * max(1.0, growth) * entries  # currents, states, outputs and what the loss makes
    tensors = [
        t for m in members.values() for t in ([m] if isinstance(m, Tensor) else [m.left, m.right])
    ]
    own = sum(held[:1].numel() for held in tensors)
    width = max(held.dtype.itemsize for held in tensors)
    return max(1, int(ROOM / ((kept + own) * width)))
