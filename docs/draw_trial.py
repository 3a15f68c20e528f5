"""Draws a trial's scores for the documentation: `python -m docs.draw_trial TRIAL.h5`.

`images/trial.png` is of the file that `python -m experiments.cipa_trial` leaves in the user's cache
folder, `cipa-trial-all/trial.h5`.
"""

import sys
from pathlib import Path

from training._trial_report import score_figure
from training.cli._output import replacing
from training.trials import open_trial

DOCS = Path(__file__).resolve().parent


def draw(path: str) -> None:
    """Of the trial at `path`."""
    with replacing(DOCS / "images" / "trial.png") as temporary:
        score_figure(open_trial(path)).savefig(temporary, format="png", dpi=130)


if __name__ == "__main__":
    draw(sys.argv[1])
