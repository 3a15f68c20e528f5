"""Reproductions of published results, each run by `python -m experiments.NAME`."""
