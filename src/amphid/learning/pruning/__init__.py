"""Networks with fewer connections."""
