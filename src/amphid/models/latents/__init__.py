"""Latent models of populations: from the counts of some cells to the rates of all."""

from amphid.models.latents.autoencoder import AutoencoderRates, SequentialAutoencoder
from amphid.models.latents.factors import FactorRates
from amphid.models.latents.gaussian_process import GPFA
from amphid.models.latents.model import LatentModel
from amphid.models.latents.poisson import PoissonReadout
from amphid.models.latents.smoothing import SmoothedRates, smoothed
from amphid.models.latents.training import Training
from amphid.models.latents.transformer import MaskedTransformer, TransformerRates

__all__ = [
    "GPFA",
    "AutoencoderRates",
    "FactorRates",
    "LatentModel",
    "MaskedTransformer",
    "PoissonReadout",
    "SequentialAutoencoder",
    "SmoothedRates",
    "Training",
    "TransformerRates",
    "smoothed",
]
