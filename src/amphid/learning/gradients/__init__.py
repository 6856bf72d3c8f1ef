"""Estimators of a gradient, and the losses that they are asked about."""
