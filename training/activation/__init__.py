"""Activation and repolarisation of a person's ventricles from a 12-lead ECG."""

from training.activation.ecg import Beat, beat_of, read_beat
from training.activation.fit import ActivationFit, Data, Solution, fit_activation
from training.activation.model import APD, VELOCITIES, Pattern, VentricularEcg
from training.activation.personal import PersonalMaps, personalise, save_maps, summary

__all__ = [
    "APD",
    "VELOCITIES",
    "ActivationFit",
    "Beat",
    "Data",
    "Pattern",
    "PersonalMaps",
    "Solution",
    "VentricularEcg",
    "beat_of",
    "fit_activation",
    "personalise",
    "read_beat",
    "save_maps",
    "summary",
]
