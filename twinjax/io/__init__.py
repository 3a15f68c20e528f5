"""Measurements of people, and meshes, from files.

Measurements come from TOML, CSV and WFDB files, with unit, method and SD.

One person, TOML (every value has a unit; `method` and `sd` are optional):

    patient = "A17"
    sex = "female"
    age = 61
    height = {value = 168, unit = "cm"}
    weight = {value = 70, unit = "kg"}

    [measurements]
    heart_rate = {value = 72, unit = "bpm"}
    systolic_blood_pressure = {value = 122, unit = "mmHg", method = "cuff", sd = 5}
    cardiac_index = {value = 2.8, unit = "L/min/m2"}
    right_atrial_pressure = [
        {value = 6, unit = "mmHg", method = "right_heart_catheter"},
        {value = 8, unit = "mmHg", method = "echo_ivc"},
    ]

    [waveforms."systemic_arteries.pressure"]
    file = "beat.csv"  # columns time,value
    time_unit = "s"
    unit = "mmHg"

CSV: the columns name, value, unit and, if wanted, method, sd, relative_sd, derived. WFDB: the
header of a record with an arterial pressure (ABP, ART, PAP ...). A table of people:
[`read_cohort`][twinjax.io.read_cohort]. The names are those of `twinjax.observables`.

Meshes come from openCARP, VTK, Gmsh, TetGen, XDMF and older FEniCS files
([`read_mesh`][twinjax.io.read_mesh]), surfaces from PLY, STL, OBJ and VTP.
"""

from twinjax.io._cohort import (
    EHR_COLUMNS,
    EHR_NOT_MODELLED,
    Cohort,
    Column,
    Exclusion,
    column_names,
    neighbourhoods,
    read_cohort,
)
from twinjax.io._defaults import DEFAULT_METHODS, DEFAULT_SDS, METHODS, DefaultSD, find_default
from twinjax.io._ecg import EcgRecord, median_beat, read_ecg, with_derived_leads
from twinjax.io._errors import MeasurementError
from twinjax.io._guide_points import GuidePoints, read_control_points, read_guide_points
from twinjax.io._hdf5 import from_hdf5, to_hdf5
from twinjax.io._measurements import (
    Measurement,
    Measurements,
    WaveformMeasurement,
    body_surface_area,
    checked,
    combine,
    inconsistencies,
    measure,
)
from twinjax.io._meshes import (
    READABLE,
    WRITABLE,
    MeshFile,
    read_igb,
    read_mesh,
    read_vtx,
    write_igb,
    write_mesh,
    write_vtx,
)
from twinjax.io._readers import read_measurements, waveform
from twinjax.io._series import write_series
from twinjax.io._surfaces import SurfaceFile, read_surface

__all__ = [
    "DEFAULT_METHODS",
    "DEFAULT_SDS",
    "EHR_COLUMNS",
    "EHR_NOT_MODELLED",
    "METHODS",
    "READABLE",
    "WRITABLE",
    "Cohort",
    "Column",
    "DefaultSD",
    "EcgRecord",
    "Exclusion",
    "GuidePoints",
    "Measurement",
    "MeasurementError",
    "Measurements",
    "MeshFile",
    "SurfaceFile",
    "WaveformMeasurement",
    "body_surface_area",
    "checked",
    "column_names",
    "combine",
    "find_default",
    "from_hdf5",
    "inconsistencies",
    "measure",
    "median_beat",
    "neighbourhoods",
    "read_cohort",
    "read_control_points",
    "read_ecg",
    "read_guide_points",
    "read_igb",
    "read_measurements",
    "read_mesh",
    "read_surface",
    "read_vtx",
    "to_hdf5",
    "waveform",
    "with_derived_leads",
    "write_igb",
    "write_mesh",
    "write_series",
    "write_vtx",
]
