"""Do signals find their cells ready? The refraction ratio of the worm and of four fly neurons.

The ratio is refractory period over latency (Puppo et al. 2018, doi 10.1038/s41598-018-28527-2, who
found a median of 0.92 over nearly 12,000 axonal branches of basket cells, and 1 to be the best).
Lengths are anatomy: straight lines between cell bodies for the worm, paths along the branches from
the cell body to each output synapse for the fly. Speeds and refractory periods are assumed, so both
are swept. The fly's neurons are those of the folder `skeletons_swc` in AMPHID_DATA, if it is there.
"""

import os
from pathlib import Path

import torch

from amphid import wiring
from amphid.measures import RefractionRatios

SPEEDS = (50.0, 200.0, 500.0)  # um/ms, thin axons without myelin
PERIODS = (1.0, 2.0, 5.0)  # ms
VOXEL = 0.008  # um


def worm() -> torch.Tensor:
    """Distance of the cell bodies of all pairs of neurons with a chemical synapse, um."""
    animal = wiring.celegans()
    return wiring.straight_lengths(animal)[torch.from_numpy(animal.connections.chemical)]


def neuron(path: Path) -> tuple[str, torch.Tensor]:
    """Where it starts, and the path from there to each output synapse, um."""
    cell = wiring.read_skeleton(
        path, unit=VOXEL, synapses=path.with_name(f"{path.stem}_synapses.csv")
    )
    start = "soma" if (cell.label == 1).any() else "root, for want of a soma,"
    return start, cell.path_lengths()[torch.from_numpy(cell.synapses["pre"])]


def show(name: str, lengths: torch.Tensor) -> None:
    lengths = lengths[lengths > 0]  # a cell's synapse onto itself has no distance to speak of
    low, middle, high = lengths.quantile(torch.tensor([0.25, 0.5, 0.75], dtype=lengths.dtype))
    print(f"\n{name}: {len(lengths):,} paths of {middle:.0f} um ({low:.0f} to {high:.0f})")
    print("  um/ms \\ ms" + "".join(f"{period:>26g}" for period in PERIODS))
    for speed in SPEEDS:
        row = [RefractionRatios.of(period, lengths / speed) for period in PERIODS]
        texts = [told(ratios) for ratios in row]
        print(f"  {speed:>10g}" + "".join(f"{text:>26}" for text in texts))
    print(f"  0.92 where period x speed is {0.92 * middle:.0f} um")


def told(ratios: RefractionRatios) -> str:
    low, middle, high = ratios.quantiles(0.25, 0.5, 0.75)
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


print("refraction ratio: median (quartiles), by speed and refractory period")
show("worm, soma to soma", worm())
folder = Path(os.environ.get("AMPHID_DATA", ".")) / "skeletons_swc"
paths = sorted(folder.glob("*.swc"))
for path in paths:
    start, lengths = neuron(path)
    show(f"fly neuron {path.stem}, {start} to outputs", lengths)
if not paths:
    print(f"\nno skeletons in {folder}: neuromorpho.org and neuprint.janelia.org have many")
