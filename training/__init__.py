"""Datasets, training, calibration and inference: all that learns from simulations."""
