"""The firing rate of a cell that remembers all of its past adapts over three decades of time.

A cell of fractional order steps from rest to a strong current, held at its reset for 5 ms after
every spike. Where it comes from a voltage above the mean of its firing, the rate falls by a power
of time; where it comes from below, it rises. With matplotlib it also draws both.
"""

import importlib.util

import torch

from amphid import dynamics

DT, DURATION = 0.1, 30_000.0  # ms
ORDERS = (1.0, 0.8, 0.5, 0.3)
EDGES = torch.logspace(1.0, 4.477, 15, dtype=torch.float64)  # ms


def firing(v_rest: float, v_reset: float, current: float, order: float) -> torch.Tensor:
    """The times of all spikes in ms."""
    cell = dynamics.LIF(
        tau=20.0, resistance=0.04, v_rest=v_rest, v_threshold=-50.0, v_reset=v_reset
    )
    held = dynamics.Refractory(dynamics.Fractional(cell, order=order), period=5.0)
    drive = torch.full((round(DURATION / DT), 1), current, dtype=torch.float64)
    return held(drive, dt=DT)[:, 0].nonzero().flatten() * DT


def rates(times: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Middles of bins of equal ratio in ms, and the mean rate in each, in Hz."""
    interval, middle = times.diff(), (times[1:] + times[:-1]) / 2
    bins = torch.bucketize(middle, EDGES)
    found = [
        (middle[bins == k].log().mean().exp(), 1000 / interval[bins == k].mean())
        for k in range(1, len(EDGES))
        if (bins == k).any()
    ]
    moments, hertz = zip(*found, strict=True)
    return torch.stack(moments), torch.stack(hertz)


def fitted(moment: torch.Tensor, hertz: torch.Tensor, order: float) -> torch.Tensor:
    """The best a + b t^(-order)."""
    columns = torch.stack((torch.ones_like(moment), moment**-order), 1)
    return columns @ torch.linalg.lstsq(columns, hertz[:, None]).solution[:, 0]


def drawn(cases: dict[str, dict[float, tuple[torch.Tensor, torch.Tensor]]]) -> None:
    """Both cases side by side, in fractional_adaptation.png."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (title, curves) in zip(panels, cases.items(), strict=True):
        for number, (order, (moment, hertz)) in enumerate(curves.items()):
            color = f"C{number}"
            axes.plot(moment, hertz, "o", ms=4, color=color, label=f"order {order:g}")
            if order < 1:
                axes.plot(moment, fitted(moment, hertz, order), "--", lw=1, color=color)
        axes.plot([], [], "k--", lw=1, label="$a + b\\,t^{-\\mathrm{order}}$")
        axes.set(xscale="log", ylim=(0, 100), title=title, xlabel="time after the step (ms)")
    panels[0].set_ylabel("firing rate (Hz)")
    panels[0].legend(frameon=False, fontsize="small", ncols=2, loc="lower right")
    figure.savefig("fractional_adaptation.png", dpi=120)


cases = {}
for title, (v_rest, v_reset, current) in {
    "rests at -52 mV, reset to -80 mV": (-52.0, -80.0, 2000.0),
    "rests at -70 mV, reset to -70 mV": (-70.0, -70.0, 1500.0),
}.items():
    print(f"{title}, {current:g} pA")
    cases[title] = {order: rates(firing(v_rest, v_reset, current, order)) for order in ORDERS}
    for order, (moment, hertz) in cases[title].items():
        off = (fitted(moment, hertz, order) / hertz - 1).abs().max()
        print(
            f"  order {order:g}: {hertz[0]:5.1f} Hz at {moment[0]:.0f} ms, {hertz[-1]:5.1f} Hz at "
            f"{moment[-1] / 1000:.0f} s; a + b t^-{order:g} is at most {off:.1%} off"
        )
if importlib.util.find_spec("matplotlib"):
    drawn(cases)
