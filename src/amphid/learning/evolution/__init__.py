"""Populations that are asked for candidates and told their losses, and how inbred they are."""
