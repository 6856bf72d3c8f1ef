"""Images as the first spikes of waves that race through networks which nobody trained."""

from amphid.models.waves.encoder import WaveEncoder, standard_waves
from amphid.models.waves.flood import FloodWaves
from amphid.models.waves.histograms import GradientHistograms
from amphid.models.waves.oriented import Edge, OrientedWaves, Ridge

__all__ = [
    "Edge",
    "FloodWaves",
    "GradientHistograms",
    "OrientedWaves",
    "Ridge",
    "WaveEncoder",
    "standard_waves",
]
