"""Draws the packaged case of tissue for the documentation: `python -m docs.draw_tissue`."""

from importlib.resources import files
from pathlib import Path

from training._application import configure
from training._surface_figure import draw_times
from training.cli._output import progress_bar, replacing
from training.tissue_case import load_tissue_case
from training.tissue_run import run_tissue_case

DOCS = Path(__file__).resolve().parent


def main() -> None:
    """Writes `images/tissue_case.png`."""
    configure()
    case = load_tissue_case(Path(str(files("training") / "examples" / "tissue_ventricle.toml")))
    with progress_bar() as update:
        run = run_tissue_case(case, progress=update)
    assert run.repolarisation is not None
    panels = [("activation", run.activation), ("repolarisation", run.repolarisation)]
    with replacing(DOCS / "images" / "tissue_case.png") as temporary:
        draw_times(run.heart.mesh, panels, temporary, dpi=100)


if __name__ == "__main__":
    main()
