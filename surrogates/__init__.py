"""Learned models that stand in for the solver, behind the same interface."""
