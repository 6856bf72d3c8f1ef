"""Estimators that perturb what arrives at cells, and not the weights that lead there."""
