"""Electrical propagation: tissue of cells on voxels or meshes, and the loop that runs it."""

from twinjax.electro._action_potential import ActionPotential
from twinjax.electro._conduction import Conduction, LinkConduction
from twinjax.electro._conductivities import Conductivities, fibre_tensor
from twinjax.electro._ecg_features import (
    EcgAgreement,
    EcgFeatures,
    ecg_agreement,
    ecg_features,
)
from twinjax.electro._eikonal import Eikonal, activation_times, reattached
from twinjax.electro._electrodes import LPS, electrodes_of_heart, electrodes_on_torso, heart_frame
from twinjax.electro._elements import ElementConduction, TissueMesh
from twinjax.electro._grid import VoxelGrid, slab
from twinjax.electro._lattice import Lattice
from twinjax.electro._lead_field import LeadField, transfer_lead_field, unbounded_lead_field
from twinjax.electro._plane_wave import (
    WaveConductivities,
    conduction_speed,
    conductivities_for,
)
from twinjax.electro._propagate import Propagation, Stimulus, longest_step, propagate
from twinjax.electro._purkinje import Purkinje, grow_purkinje
from twinjax.electro._reaction_eikonal import ActionPotentials, action_potentials
from twinjax.electro._roots import AbstractRoots, RootNodes, RootPoints
from twinjax.electro._run import run_tissue
from twinjax.electro._stencil import Stencil
from twinjax.electro._tissue import MASSES, MESH_MASSES, STEPPINGS, Tissue
from twinjax.electro._torso import Torso, bounded_lead_field
from twinjax.electro._twelve_leads import ELECTRODES, LEADS, lead_matrix, twelve_leads
from twinjax.electro._voxel_lead_field import voxel_lead_field

__all__ = [
    "ELECTRODES",
    "LEADS",
    "LPS",
    "MASSES",
    "MESH_MASSES",
    "STEPPINGS",
    "AbstractRoots",
    "ActionPotential",
    "ActionPotentials",
    "Conduction",
    "Conductivities",
    "EcgAgreement",
    "EcgFeatures",
    "Eikonal",
    "ElementConduction",
    "Lattice",
    "LeadField",
    "LinkConduction",
    "Propagation",
    "Purkinje",
    "RootNodes",
    "RootPoints",
    "Stencil",
    "Stimulus",
    "Tissue",
    "TissueMesh",
    "Torso",
    "VoxelGrid",
    "WaveConductivities",
    "action_potentials",
    "activation_times",
    "bounded_lead_field",
    "conduction_speed",
    "conductivities_for",
    "ecg_agreement",
    "ecg_features",
    "electrodes_of_heart",
    "electrodes_on_torso",
    "fibre_tensor",
    "grow_purkinje",
    "heart_frame",
    "lead_matrix",
    "longest_step",
    "propagate",
    "reattached",
    "run_tissue",
    "slab",
    "transfer_lead_field",
    "twelve_leads",
    "unbounded_lead_field",
    "voxel_lead_field",
]
