"""Estimators that see a loss only from outside: what it gives, not how."""
