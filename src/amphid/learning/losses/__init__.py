"""Losses of spikes, counts, voltages and rates: `loss(outputs, targets)`."""
