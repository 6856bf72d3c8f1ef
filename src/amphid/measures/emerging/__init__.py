"""Counting paths from what is silent into what is active."""
