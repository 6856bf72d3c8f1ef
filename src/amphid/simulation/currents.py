"""Makers of stimuli: pulses, waves, noise, spike trains, tables."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from amphid.dynamics.binary import fresh_keys
from amphid.simulation.sources import GivenSpikes, PoissonTrains, Source
from amphid.simulation.stimulus import Stimulus, check_positive
from amphid.wiring import Connectome


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
    check_positive("tau", tau)
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
    rate: float | Tensor,
    amplitude: float | Tensor,
    start: float = 0.0,
    stop: float = math.inf,
    duration: float,
    dt: float,
    generator: torch.Generator,
    trials: int | None = None,
) -> Stimulus:
    """Independent Poisson spike trains, each spike a current of `amplitude` pA for one step.

    They are drawn step by step while the network runs, and take no memory; `stimulus.dense()`
    shows them. Several spikes may fall in one step, so that one train stands for many: 1,000 inputs
    at 10 Hz are a rate of 10 per ms.

    rate: spikes per ms (0.15 is 150 Hz), for all cells or [*B, K] for each. amplitude: pA,
    likewise. start, stop: ms, when they come. trials: how many trials [trials, K] with trains of
    their own; one without an axis when None. generator: gives every train a key of its own.
    A spike carries the charge amplitude * dt in fC: it moves a cell by amplitude * dt / C mV.
    """
    if not isinstance(generator, torch.Generator):
        raise TypeError(f"generator must be a torch.Generator, got {generator!r}.")
    if trials is not None and not (isinstance(trials, int) and trials > 0):
        raise ValueError(f"trials must be a number of trials, at least 1, got {trials!r}.")
    _check_finite(start=start)
    steps, chosen = _steps(duration, dt), _chosen(connectome, cells)
    like = torch.empty(*(() if trials is None else (trials,)), len(chosen))
    trains = PoissonTrains(
        cells=chosen,
        rate=_each("rate", rate, torch.float64),
        amplitude=_each("amplitude", amplitude, torch.get_default_dtype()),
        key=fresh_keys(like, generator),
        dt=dt,
        start=start,
        stop=stop,
    )
    return _alone(trains, steps, len(connectome))


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
    steps = _steps(duration, dt)
    found: list[tuple[Tensor, Tensor]] = []
    for name, train in times.items():
        time = torch.as_tensor(train, dtype=torch.float64).reshape(-1)
        late = ~((time >= 0) & (time < duration))
        if late.any():
            raise ValueError(
                f"spike times of {name!r} must lie in 0 <= t < {duration:g} ms, got "
                f"{float(time[late][0])!r}."
            )
        step = (time / dt + 1e-9).long().clamp(max=steps - 1)
        cells = torch.from_numpy(connectome.select(name))
        found.append((step.repeat_interleave(len(cells)), cells.repeat(len(step))))
    none = torch.zeros(0, dtype=torch.int64)
    step, cell = (
        torch.cat((none, *pieces)) for pieces in ([f[0] for f in found], [f[1] for f in found])
    )
    order = torch.argsort(step, stable=True)
    spikes = GivenSpikes(step[order], cell[order], torch.full((len(step),), float(amplitude)), dt)
    return _alone(spikes, steps, len(connectome))


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
        steps = _steps(duration, dt)
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
    chosen = _chosen(connectome, cells)
    if current.dim() == 1:
        current = current[:, None].expand(-1, len(chosen)).contiguous()
    return Stimulus(current.to(torch.get_default_dtype()), chosen, len(connectome), dt)


def _chosen(connectome: Connectome, cells: tuple[str | int, ...]) -> Tensor:
    if not cells:
        raise ValueError("name at least one cell, class or pattern to stimulate.")
    return torch.from_numpy(connectome.select(*cells))


def _alone(source: Source, steps: int, size: int) -> Stimulus:
    """A stimulus of nothing but a source."""
    none = torch.zeros(0, dtype=torch.int64)
    return Stimulus(torch.zeros(steps, 0), none, size, source.dt, (source,))


def _each(name: str, value: float | Tensor, dtype: torch.dtype) -> Tensor:
    if not isinstance(value, Tensor):
        _check_finite(**{name: value})
        return torch.tensor([float(value)], dtype=dtype)
    if not value.isfinite().all():
        raise ValueError(f"{name} must hold finite numbers only, got nan or infinity.")
    return value.to(dtype).reshape(1) if value.dim() == 0 else value.to(dtype)


def _time(duration: float, dt: float) -> Tensor:
    """Start of each step [T] in ms."""
    return torch.arange(_steps(duration, dt), dtype=torch.float64) * dt


def _steps(duration: float, dt: float) -> int:
    check_positive("duration", duration)
    check_positive("dt", dt)
    steps = round(duration / dt)
    if steps < 1 or abs(steps * dt - duration) > 1e-6 * duration:
        raise ValueError(
            f"duration must be a whole number of steps: got {duration:g} ms at dt {dt:g} ms."
        )
    return steps


def _check_finite(**values: float) -> None:
    for name, value in values.items():
        if not (isinstance(value, (int, float)) and math.isfinite(value)):
            raise ValueError(f"{name} must be a finite number, got {value!r}.")
