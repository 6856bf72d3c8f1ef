"""What will the cells of a brain do next? Forecasts whose weights cells share."""

from amphid.models.forecasts.autoregression import Autoregression
from amphid.models.forecasts.forecaster import Forecaster, Persistence, Recorded, cell_weights
from amphid.models.forecasts.graph import GraphForecast
from amphid.models.forecasts.nets import (
    Attention,
    Corrector,
    GatedRecurrent,
    GraphNetwork,
    MultilayerPerceptron,
)
from amphid.models.forecasts.vector import VectorAutoregression

__all__ = [
    "Attention",
    "Autoregression",
    "Corrector",
    "Forecaster",
    "GatedRecurrent",
    "GraphForecast",
    "GraphNetwork",
    "MultilayerPerceptron",
    "Persistence",
    "Recorded",
    "VectorAutoregression",
    "cell_weights",
]
