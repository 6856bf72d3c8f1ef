"""Experiments in Neurodata Without Borders: spikes in bins, behavior beside them, trials."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from amphid.wiring.data import checked_path

SECOND = 1000.0  # ms; the format keeps seconds
CLOSE = 1e-6  # ms by which a spike or an edge may miss its bin
Column = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Series:
    """Values [T, D] at times [T] in ms, in the unit that the file names."""

    time: NDArray[np.float64]
    values: NDArray[np.float64]
    unit: str


@dataclass(frozen=True, eq=False)
class Session:
    """What one NWB file holds, with times in ms.

    spikes: times [K] of each unit. units: columns of the table of units, [N] each. observed:
    intervals [I, 2] in which spikes were looked for; None where the file does not say. series:
    time series by name, of all processing modules and of the acquisition. trials: columns [B] of
    the table of trials; those that end in `_time` are ms.
    """

    spikes: tuple[NDArray[np.float64], ...]
    units: Mapping[str, Column]
    observed: NDArray[np.float64] | None
    series: Mapping[str, Series]
    trials: Mapping[str, Column]

    def counts(self, start: NDArray[np.float64], *, bins: int, bin: float) -> Tensor:
        """Spikes [B, bins, N] in bins of `bin` ms from each start [B] on; NaN where not observed.

        A spike on the edge of two bins belongs to the later one.
        """
        edges = _edges(start, bins, bin)
        if not self.spikes:
            raise ValueError("there is no unit in this session whose spikes could be counted.")
        found = np.stack(
            [np.diff(np.searchsorted(np.sort(times), edges)) for times in self.spikes], -1
        ).astype(np.float32)
        found[~self._seen(edges)] = np.nan
        return torch.from_numpy(found)

    def behavior(self, name: str, start: NDArray[np.float64], *, bins: int, bin: float) -> Tensor:
        """Mean of a series [B, bins, D] over the samples in each bin; NaN where there is none.

        Raises KeyError, with the names that there are, for a series that is not in the file.
        """
        if name not in self.series:
            raise KeyError(
                f"There is no time series {name!r} in this file, which has "
                f"{', '.join(sorted(self.series)) or 'none'}."
            )
        own = self.series[name]
        edges = _edges(start, bins, bin)
        place = np.searchsorted(own.time, edges)
        total = np.concatenate((np.zeros_like(own.values[:1]), own.values.cumsum(0)))
        count = np.diff(place)[..., None]
        mean = np.diff(total[place], axis=1) / np.where(count, count, np.nan)
        return torch.from_numpy(mean.astype(np.float32))

    def _seen(self, edges: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which bins [B, bins] lie within an interval in which spikes were looked for."""
        low, high = edges[:, :-1], edges[:, 1:]
        if self.observed is None:
            return np.ones(low.shape, bool)
        inside = [(low >= a - 2 * CLOSE) & (high <= b) for a, b in self.observed]
        return np.any(inside, axis=0)


def read_nwb(path: str | os.PathLike[str], *, series: Collection[str] | None = None) -> Session:
    """An NWB file with a table of units, of any experiment.

    series: names of the time series to read, all when None; raw voltages may be many. Their axes
    beyond the first are one.

    Raises FileNotFoundError and OSError, in a sentence, for a file that is not there, damaged, not
    NWB or without units; ModuleNotFoundError without the extra `nwb`.
    Reference: Ruebel et al. 2022, doi 10.7554/eLife.78362.
    """
    try:
        from pynwb import NWBHDF5IO
    except ModuleNotFoundError:
        raise ModuleNotFoundError("NWB files need pynwb: pip install 'amphid[nwb]'") from None
    path = checked_path("path", path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        with NWBHDF5IO(path, "r") as io:
            return _session(io.read(), path, series)
    except OSError as error:
        raise OSError(f"{path} is not a whole NWB file ({error}).") from None
    except Exception as error:  # hdmf raises whatever its parser runs into
        raise OSError(f"{path} cannot be read as NWB ({type(error).__name__}: {error}).") from None


def _session(file: Any, path: Path, wanted: Collection[str] | None) -> Session:
    if file.units is None or "spike_times" not in file.units.colnames:
        raise OSError(f"it has no table of units with spike_times: {path.name}")
    units = file.units
    return Session(
        spikes=tuple(SECOND * np.asarray(times, np.float64) for times in units["spike_times"][:]),
        units=_columns(units),
        observed=_observed(units),
        series={
            name: read
            for name, one in _all_series(file)
            if (wanted is None or name in wanted) and (read := _read_series(one)) is not None
        },
        trials={} if file.trials is None else _columns(file.trials),
    )


def _columns(table: Any) -> dict[str, Column]:
    """The columns of a table that hold one value a row; times in ms."""
    found = {"id": np.asarray(table.id[:])}
    for name in table.colnames:
        values = table[name][:]
        if not isinstance(values, (list, np.ndarray)):
            continue  # rows of another table
        try:
            column = np.asarray(values)
        except ValueError:  # of different lengths in each row
            continue
        if column.ndim == 1:
            found[name] = SECOND * column if name.endswith("_time") else column
    return found


def _observed(units: Any) -> NDArray[np.float64] | None:
    """Intervals [I, 2] in ms in which the first unit was looked for, which stands for all."""
    if "obs_intervals" not in units.colnames:
        return None
    return SECOND * np.asarray(units["obs_intervals"][0], np.float64).reshape(-1, 2)


def _all_series(file: Any) -> Iterator[tuple[str, Any]]:
    """Every time series by its name; in a container of several, by both names."""
    from pynwb import TimeSeries

    for held in (*(m.data_interfaces for m in file.processing.values()), file.acquisition):
        for name, one in held.items():
            yield from ([(name, one)] if isinstance(one, TimeSeries) else _inside(name, one))


def _inside(name: str, container: Any) -> Iterator[tuple[str, Any]]:
    from pynwb import TimeSeries

    for one in getattr(container, "children", ()):
        if isinstance(one, TimeSeries):
            yield f"{name}_{one.name}", one


def _read_series(series: Any) -> Series | None:
    """A series of numbers; None for what is kept in other files and the like."""
    values = np.asarray(series.data[:])
    if values.dtype.kind not in "buif" or not values.ndim or not len(values):
        return None
    if series.timestamps is not None:
        time = np.asarray(series.timestamps[:], np.float64)
    else:
        time = (series.starting_time or 0.0) + np.arange(len(values)) / series.rate
    values = values.reshape(len(values), -1) * float(series.conversion or 1.0)
    return Series(SECOND * time, values.astype(np.float64), str(series.unit))


def _edges(start: NDArray[np.float64], bins: int, bin: float) -> NDArray[np.float64]:
    """Edges [B, bins + 1] of bins, ms, from each start; ValueError, in a sentence, for no bins."""
    whole = isinstance(bins, int) and not isinstance(bins, bool)
    if not whole or bins < 1 or not isinstance(bin, (int, float)) or not 0 < bin < np.inf:
        raise ValueError(
            f"bins must be a number of bins and bin their length in ms, got {bins!r} and {bin!r}."
        )
    try:
        times = np.asarray(start, np.float64)
    except (TypeError, ValueError):
        times = np.full((), np.nan)
    if times.ndim != 1 or not np.isfinite(times).all():
        raise ValueError("start must be times [B] in ms, some are not numbers.")
    edges: NDArray[np.float64] = times[:, None] + bin * np.arange(bins + 1) - CLOSE
    return edges
