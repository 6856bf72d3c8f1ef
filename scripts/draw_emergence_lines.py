"""Draw docs/figures/emergence_lines.png: the loss along lines through dense and pruned nets.

Run with AMPHID_DATA set, for the digits. Nets and lines are those of the study emergence-pruning,
shorter trained.
"""

from dataclasses import replace
from pathlib import Path

from matplotlib.figure import Figure

from amphid.interfaces import landscape_plots
from amphid.learning import ByMagnitude, prune
from amphid.studies import emergence_pruning as study
from amphid.studies.start_settings import digits

WIDTHS, SHARE, SHOWN = (16, 256), 0.9, 5
TO = Path(__file__).parents[1] / "docs" / "figures" / "emergence_lines.png"

amount = replace(study.QUICK, images=5000, epochs=6)
learned, tested = digits(amount.images)(0)
figure = Figure(figsize=(9.0, 6.0), layout="constrained")
panels = figure.subplots(2, len(WIDTHS), sharex=True)
for column, width in zip(panels.T, WIDTHS, strict=True):
    model = study.made(width, 0)
    start = {name: own.detach().clone() for name, own in model.named_parameters()}
    for ax, share in zip(column, (0.0, SHARE), strict=True):
        if share:
            prune(model, ByMagnitude(), 1 - share)
            study.put_back(model, start)
        net = study.trained(model, study.Net(width, 0, share), learned, tested, amount)
        own = study.lines(model, net, tested)[:SHOWN]
        landscape_plots.line({f"line {k}": line for k, line in enumerate(own, 1)}, ax)
        ax.get_legend().remove()
        paths = net.paths.log_inside
        title = f"{width} wide, {share:.0%} pruned: log E {paths:.1f}"
        ax.set(title=title, xlabel="", xticks=(-1.0, -0.5, 0.0, 0.5, 1.0))
for ax in panels[-1]:
    ax.set_xlabel("distance along the direction, of the length of the weights")
figure.savefig(TO, dpi=110)
