"""Stimuli: currents into chosen cells over time, and spike trains from outside."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from amphid.wiring import Connectome


@dataclass(frozen=True, eq=False)
class Stimulus:
    """Currents into chosen cells over time; two of them add up.

    current: [T, *B, K] pA. cells: [K] indices of the driven cells. size: N, the cells of the
    network. dt: ms per step.
    """

    current: Tensor
    cells: Tensor
    size: int
    dt: float

    def __post_init__(self) -> None:
        _check_positive("dt", self.dt)
        if self.current.dim() < 2 or self.current.shape[-1] != len(self.cells):
            raise ValueError(
                f"current must be [T, *B, K] with one entry for each of {len(self.cells)} driven "
                f"cells, got shape {list(self.current.shape)}."
            )

    def __len__(self) -> int:
        return len(self.current)

    def __repr__(self) -> str:
        shape = list(self.current.shape)
        return f"Stimulus({shape} pA into {len(self.cells)} of {self.size} cells, dt={self.dt:g})"

    @property
    def duration(self) -> float:
        """How long it lasts, ms."""
        return len(self) * self.dt

    def dense(self) -> Tensor:
        """The current into every cell [T, *B, N] in pA."""
        everywhere = self.current.new_zeros(*self.current.shape[:-1], self.size)
        return everywhere.index_add(-1, self.cells, self.current)

    def to(self, like: Tensor) -> Stimulus:
        """The same in the type and on the device of a tensor."""
        return replace(self, current=self.current.to(like), cells=self.cells.to(like.device))

    def __add__(self, other: Stimulus) -> Stimulus:
        if not isinstance(other, Stimulus):
            return NotImplemented
        if (self.size, self.dt, len(self)) != (other.size, other.dt, len(other)):
            raise ValueError(
                "stimuli that are added must have the same cells, steps and dt: got "
                f"{self!r} and {other!r}."
            )
        cells = torch.unique(torch.cat((self.cells, other.cells)))
        return replace(self, current=_spread(self, cells) + _spread(other, cells), cells=cells)


def batch(*stimuli: Stimulus) -> Stimulus:
    """Several stimuli side by side: [T, K] each become one of [T, B, K], a trial each.

    Raises ValueError when they differ in cells, steps or dt.
    """
    if not stimuli or len({(s.size, s.dt, len(s)) for s in stimuli}) != 1:
        raise ValueError(
            "a batch needs stimuli of the same network, steps and dt: got "
            f"{', '.join(map(repr, stimuli)) or 'none'}."
        )
    cells = torch.unique(torch.cat([s.cells for s in stimuli]))
    return replace(
        stimuli[0], current=torch.stack([_spread(s, cells) for s in stimuli], 1), cells=cells
    )


def pulse(
    connectome: Connectome,
    *cells: str | int,
    start: float = 0.0,
    stop: float = math.inf,
    amplitude: float,
    duration: float,
    dt: float,
) -> Stimulus:
    """A constant current of `amplitude` pA from `start` to `stop` ms into each of the cells.

    duration: ms in all. dt: ms. Raises KeyError with near names for a cell that is not there.
    """
    _check_finite(amplitude=amplitude, start=start)
    time = _time(duration, dt)
    if not start < stop:
        raise ValueError(f"stop must lie after start: got start {start:g} ms, stop {stop:g} ms.")
    inside = (time > start - dt / 2) & (time < stop - dt / 2)
    return _into(connectome, cells, amplitude * inside.double(), dt)


def ramp(
    connectome: Connectome,
    *cells: str | int,
    first: float = 0.0,
    last: float,
    duration: float,
    dt: float,
) -> Stimulus:
    """A current that goes evenly from `first` to `last` pA over `duration` ms."""
    _check_finite(first=first, last=last)
    time = _time(duration, dt)
    return _into(connectome, cells, first + (last - first) * time / duration, dt)


def sine(
    connectome: Connectome,
    *cells: str | int,
    amplitude: float,
    frequency: float,
    phase: float = 0.0,
    offset: float = 0.0,
    duration: float,
    dt: float,
) -> Stimulus:
    """A current offset + amplitude sin(2 pi frequency t + phase) in pA.

    frequency: cycles per ms (0.01 is 10 Hz). phase: rad.
    """
    _check_finite(amplitude=amplitude, frequency=frequency, phase=phase, offset=offset)
    wave = torch.sin(2 * math.pi * frequency * _time(duration, dt) + phase)
    return _into(connectome, cells, offset + amplitude * wave, dt)


def noise(
    connectome: Connectome,
    *cells: str | int,
    deviation: float,
    tau: float,
    mean: float = 0.0,
    duration: float,
    dt: float,
    generator: torch.Generator,
) -> Stimulus:
    r"""Ornstein-Uhlenbeck current, independent for each cell, stationary from the first step.

    .. math:: \tau \, dI = (\mu - I) \, dt + \sigma \sqrt{2 \tau} \, dW

    mean, deviation: mu and sigma of the current in pA. tau: ms; its law is exact in dt.
    Reference: Uhlenbeck & Ornstein 1930, doi 10.1103/PhysRev.36.823.
    """
    _check_finite(mean=mean, deviation=deviation)
    _check_positive("tau", tau)
    steps, chosen = len(_time(duration, dt)), connectome.select(*cells)
    kick = torch.randn(steps, len(chosen), dtype=torch.float64, generator=generator)
    left = math.exp(-dt / tau)
    current = [kick[0]]
    for fresh in kick[1:].unbind():
        current.append(left * current[-1] + math.sqrt(1 - left**2) * fresh)
    return _into(connectome, cells, mean + deviation * torch.stack(current), dt)


def poisson(
    connectome: Connectome,
    *cells: str | int,
    rate: float,
    amplitude: float,
    duration: float,
    dt: float,
    generator: torch.Generator,
) -> Stimulus:
    """Independent Poisson spike trains, each spike a current of `amplitude` pA for one step.

    rate: spikes per ms (0.15 is 150 Hz); at most one spike falls in a step.
    A spike carries the charge amplitude * dt in fC: it moves a cell by amplitude * dt / C mV.
    """
    _check_finite(amplitude=amplitude)
    if not 0 <= rate * dt <= 1:
        raise ValueError(
            f"rate must be spikes per ms with at most one a step: got {rate:g} per ms at dt {dt:g} "
            "ms. 100 Hz is 0.1."
        )
    shape = len(_time(duration, dt)), len(connectome.select(*cells))
    spikes = torch.rand(shape, dtype=torch.float64, generator=generator) < rate * dt
    return _into(connectome, cells, amplitude * spikes.double(), dt)


def spike_trains(
    connectome: Connectome,
    times: Mapping[str, Sequence[float]],
    *,
    amplitude: float,
    duration: float,
    dt: float,
) -> Stimulus:
    """Given spikes, each a current of `amplitude` pA for the step it falls in.

    times: for each cell (or class or pattern) its spike times in ms, 0 <= t < duration.
    """
    _check_finite(amplitude=amplitude)
    cells = connectome.select(*times)
    column = {int(cell): k for k, cell in enumerate(cells)}
    current = torch.zeros(len(_time(duration, dt)), len(cells), dtype=torch.float64)
    for name, train in times.items():
        for time in train:
            if not 0 <= time < duration:
                raise ValueError(
                    f"spike times of {name!r} must lie in 0 <= t < {duration:g} ms, got {time!r}."
                )
            step = min(int(time / dt + 1e-9), len(current) - 1)
            current[step, [column[int(cell)] for cell in connectome.select(name)]] += amplitude
    return Stimulus(current, torch.from_numpy(cells), len(connectome), dt)


def stimulus_from_file(
    connectome: Connectome, path: str | Path, *, dt: float, duration: float | None = None
) -> Stimulus:
    """Currents from a CSV table: a column `time` in ms, evenly spaced, then one per cell, in pA.

    Between its times the current is interpolated linearly. duration: ms; the table is cut there, or
    followed by no current; as long as the table when None. Raises ValueError naming the line of a
    bad number, KeyError with near names for a column that is no cell.
    """
    header, rows = _table(Path(path))
    if not header or header[0].strip().lower() not in ("time", "time (ms)", "t"):
        raise ValueError(f"{path}: the first column must be 'time', in ms; got {header[:1]}.")
    if len(rows) < 2:
        raise ValueError(f"{path}: needs at least two rows of currents, got {len(rows)}.")
    table = torch.tensor(rows, dtype=torch.float64)
    gaps = table[:, 0].diff()
    if not (gaps > 0).all() or not torch.allclose(gaps, gaps.mean(), rtol=1e-3):
        raise ValueError(f"{path}: times must grow evenly from row to row.")
    gap = float(gaps.mean())
    place = _time(float(table[-1, 0] - table[0, 0]) + gap, dt) / gap
    before = place.long().clamp(max=len(rows) - 1)
    after = (before + 1).clamp(max=len(rows) - 1)
    share = (place - before).clamp(0, 1)[:, None]
    current = table[before, 1:] * (1 - share) + table[after, 1:] * share
    cells = torch.tensor([connectome.index(name.strip()) for name in header[1:]])
    current = current.to(torch.get_default_dtype())
    if duration is not None:
        steps = len(_time(duration, dt))
        current = torch.cat((current, current.new_zeros(steps, len(cells))))[:steps]
    return Stimulus(current, cells, len(connectome), dt)


def _table(path: Path) -> tuple[list[str], list[list[float]]]:
    rows: list[list[float]] = []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            rows.extend(_numbers(path, reader.line_num, row, len(header)) for row in reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is not a CSV table: {error}.") from None
    return header, rows


def _numbers(path: Path, line: int, row: list[str], width: int) -> list[float]:
    try:
        values = [float(entry) for entry in row]
    except ValueError:
        raise ValueError(f"{path}, line {line}: {row} holds something that is no number.") from None
    if len(values) != width or not all(map(math.isfinite, values)):
        raise ValueError(f"{path}, line {line}: needs {width} finite numbers, got {row}.")
    return values


def _into(
    connectome: Connectome, cells: tuple[str | int, ...], current: Tensor, dt: float
) -> Stimulus:
    """The same current [T], or one column each [T, K], into the cells."""
    if not cells:
        raise ValueError("name at least one cell, class or pattern to stimulate.")
    chosen = torch.from_numpy(connectome.select(*cells))
    if current.dim() == 1:
        current = current[:, None].expand(-1, len(chosen)).contiguous()
    return Stimulus(current.to(torch.get_default_dtype()), chosen, len(connectome), dt)


def _spread(stimulus: Stimulus, cells: Tensor) -> Tensor:
    place = torch.searchsorted(cells, stimulus.cells)
    wide = stimulus.current.new_zeros(*stimulus.current.shape[:-1], len(cells))
    return wide.index_add(-1, place, stimulus.current)


def _time(duration: float, dt: float) -> Tensor:
    """Start of each step [T] in ms."""
    _check_positive("duration", duration)
    _check_positive("dt", dt)
    steps = round(duration / dt)
    if steps < 1 or abs(steps * dt - duration) > 1e-6 * duration:
        raise ValueError(
            f"duration must be a whole number of steps: got {duration:g} ms at dt {dt:g} ms."
        )
    return torch.arange(steps, dtype=torch.float64) * dt


def _check_positive(name: str, value: float) -> None:
    if not (isinstance(value, (int, float)) and 0 < value < math.inf):
        raise ValueError(f"{name} must be a positive number of ms, got {value!r}.")


def _check_finite(**values: float) -> None:
    for name, value in values.items():
        if not (isinstance(value, (int, float)) and math.isfinite(value)):
            raise ValueError(f"{name} must be a finite number, got {value!r}.")
