"""Whole networks as SONATA circuits that NEST and its like open and run."""

from amphid.interfaces.sonata.export import export_sonata

__all__ = ["export_sonata"]
