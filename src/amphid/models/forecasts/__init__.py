"""What will the cells of a brain do next? Forecasts whose weights cells share.

The graph networks are dense: 40 to 150 cells, every pair of which has a weight. A message is one
product of matrices, which torch does itself; a library for sparse graphs would carry no load here.
"""

from amphid.models.forecasts.anatomy import Anatomical
from amphid.models.forecasts.autoregression import Autoregression
from amphid.models.forecasts.edges import Edges, Given, Inferred, NoEdges, Shuffled, Together
from amphid.models.forecasts.forecaster import Forecaster, Persistence, Recorded, cell_weights
from amphid.models.forecasts.graph import GraphForecast
from amphid.models.forecasts.history import Pace
from amphid.models.forecasts.nets import (
    Attention,
    Corrector,
    GatedRecurrent,
    GraphNetwork,
    MultilayerPerceptron,
)
from amphid.models.forecasts.vector import VectorAutoregression

__all__ = [
    "Anatomical",
    "Attention",
    "Autoregression",
    "Corrector",
    "Edges",
    "Forecaster",
    "GatedRecurrent",
    "Given",
    "GraphForecast",
    "GraphNetwork",
    "Inferred",
    "MultilayerPerceptron",
    "NoEdges",
    "Pace",
    "Persistence",
    "Recorded",
    "Shuffled",
    "Together",
    "VectorAutoregression",
    "cell_weights",
]
