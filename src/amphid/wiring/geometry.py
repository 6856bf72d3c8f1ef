"""Cells in space: who is near whom, how long the paths are, and how long signals take on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from amphid.wiring.checks import drawing, places, positive, real, share, whole
from amphid.wiring.connectome import Cells, Connections, Connectome
from amphid.wiring.sampling import integers, uniform

Numbers = NDArray[np.float64]


def geometric(
    positions: ArrayLike,
    *,
    radius: float | None = None,
    neighbors: int | None = None,
    inhibitory: float = 0.0,
    far: float = 0.0,
    generator: torch.Generator | None = None,
) -> Connectome:
    """Cells connected to those that are near.

    positions: [N, 2] or [N, 3] um; the cells are named "C0", "C1", ... in that order.
    radius: um; every ordered pair of cells no farther apart is connected. neighbors: or each cell
        projects to so many cells nearest to it. One of the two is given.
    inhibitory: share of the connections that inhibit, sign -1; all others have +1.
    far: share of the connections that are led to any other cell instead, however far away it is.
    generator: needed for shares above 0 only.

    Which connections these are is drawn connection by connection. No cell projects to itself.
    Delays come with `conducted`. With a radius this is the random geometric graph of
    Gilbert 1961, doi 10.1137/0109045, where positions are uniform.
    Raises ValueError or TypeError for values out of range and positions that are not known.
    """
    place = places(positions, flat=True)
    shares = share("inhibitory", inhibitory), share("far", far)
    source = drawing(generator) if any(shares) else None
    pre, post = _near(place, radius, neighbors)
    sign = np.ones(len(pre), np.int8)
    if source is not None:
        led = np.flatnonzero(uniform(len(pre), source) < shares[1])
        away = integers(max(len(place) - 1, 1), len(led), source)
        post[led] = away + (away >= pre[led])
        sign[uniform(len(pre), source) < shares[0]] = -1
    cells = Cells([f"C{number}" for number in range(len(place))], position=place)
    return Connectome(cells, Connections(pre, post, sign=sign), name="geometric")


def straight_lengths(connectome: Connectome) -> Tensor:
    """Distance [E] in um between the two cells of each connection; nan where one is unknown."""
    _check(connectome)
    place, wires = connectome.cells.position, connectome.connections
    return torch.from_numpy(np.linalg.norm(place[wires.pre] - place[wires.post], axis=1))


def convoluted_lengths(
    connectome: Connectome, *, excess: float, generator: torch.Generator
) -> Tensor:
    r"""Lengths [E] in um of paths that are not straight.

    .. math:: d = |x_\text{pre} - x_\text{post}| \, (1 + e), \qquad e \sim \text{Exp}

    excess: mean of e, by what share the paths are longer than the straight ones.
    Raises ValueError or TypeError for values out of range.
    """
    mean = positive("excess", excess)
    straight = straight_lengths(connectome)
    drawn = uniform(len(straight), drawing(generator))
    return straight * (1 - mean * torch.from_numpy(np.log1p(-drawn)))


def conducted(
    connectome: Connectome,
    *,
    speed: float | ArrayLike,
    lengths: ArrayLike | None = None,
    synaptic: float = 0.0,
) -> Connectome:
    r"""The same with the delays that signals have on their way.

    .. math:: \text{delay} = \text{synaptic} + \text{length} / \text{speed}

    speed: of conduction, um/ms, one number or [E]. lengths: [E] um; straight ones when None.
    synaptic: ms that every connection takes on top.

    Where a length is nan, so is the delay; gap junctions have none.
    Raises ValueError or TypeError for what is not positive, for lengths below zero and for other
    sizes.
    """
    _check(connectome)
    size, synaptic = len(connectome.connections), real("synaptic", synaptic)
    own = straight_lengths(connectome) if lengths is None else lengths
    length, pace = (_column(what, v, size) for what, v in (("lengths", own), ("speed", speed)))
    if not (pace > 0).all() or not np.isfinite(pace).all():
        raise ValueError(f"speed must be positive and finite, in um/ms, got {speed!r}.")
    if (length < 0).any() or not 0 <= synaptic < np.inf:
        raise ValueError("lengths and synaptic must not be negative.")
    delay = np.where(connectome.connections.chemical, synaptic + length / pace, np.nan)
    return connectome.with_connections(delay=delay)


def _check(connectome: object) -> None:
    if not isinstance(connectome, Connectome):
        raise TypeError(f"connectome must be a Connectome, got {connectome!r:.60}.")


def _column(what: str, value: ArrayLike, size: int) -> Numbers:
    try:
        given = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{what} must be one number or [E] numbers, got {value!r:.60}.") from None
    if given.is_complex() or given.dtype == torch.bool:
        raise TypeError(f"{what} must be real numbers, got {given.dtype}.")
    numbers = given.detach().double().numpy()
    if numbers.shape not in ((), (size,)):
        raise ValueError(
            f"{what} must be one number or one for each of {size} connections, got shape "
            f"{list(numbers.shape)}."
        )
    return np.broadcast_to(numbers, size)


def _near(
    place: Numbers, radius: float | None, neighbors: int | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ends of the connections, by sender and then by receiver."""
    from scipy.spatial import KDTree

    if (radius is None) == (neighbors is None):
        raise ValueError("geometric needs a radius or a number of neighbors, and not both.")
    tree = KDTree(place)
    if radius is not None:
        pairs = tree.query_pairs(positive("radius", radius), output_type="ndarray")
        pre, post = np.concatenate([pairs, pairs[:, ::-1]]).astype(np.int64).T
        order = np.lexsort((post, pre))
        return pre[order], post[order]
    count = whole("neighbors", neighbors, least=0)  # type: ignore[arg-type]
    if count >= len(place):
        raise ValueError(f"neighbors must be below {len(place)} cells, got {count}.")
    return np.repeat(np.arange(len(place)), count), np.sort(_nearest(tree, count), axis=1).ravel()


def _nearest(tree: Any, count: int) -> NDArray[np.int64]:
    """[N, count] the cells nearest to each, itself left out."""
    size = len(tree.data)
    _, found = tree.query(tree.data, k=list(range(1, count + 2)))
    others = found != np.arange(size)[:, None]
    others[others.all(1), -1] = False  # so many in its place that it is not among the first
    return found[others].reshape(size, count).astype(np.int64)
