"""One HTML file that needs no other: its style, tables and pictures."""

import base64
import html
import io
from collections.abc import Iterable, Sequence

from matplotlib.figure import Figure

_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
td,th{padding:.2rem .7rem;border-bottom:1px solid #ddd;text-align:right}
td:first-child,th:first-child{text-align:left}img{max-width:100%}.note{color:#555}"""


def page(title: str, parts: Iterable[str]) -> str:
    """A whole file of parts that are HTML already."""
    head = f'<!doctype html><meta charset="utf-8"><title>{html.escape(title)}</title>'
    return f"{head}<style>{_STYLE}</style>\n" + "\n".join(parts)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Of texts; one that begins and ends with `**` is bold."""
    lines = ["<table><tr>" + "".join(f"<th>{html.escape(head)}</th>" for head in heads) + "</tr>"]
    for row in rows:
        lines.append("<tr>" + "".join(f"<td>{_cell(cell)}</td>" for cell in row) + "</tr>")
    return "\n".join([*lines, "</table>"])


def picture(figure: Figure, text: str) -> str:
    """A figure inside the file; `text` is read out where it cannot be seen."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=130)
    data = base64.b64encode(file.getvalue()).decode()
    return f'<img alt="{html.escape(text)}" src="data:image/png;base64,{data}">'


def _cell(text: str) -> str:
    bold = text.startswith("**") and text.endswith("**")
    return f"<b>{html.escape(text[2:-2])}</b>" if bold else html.escape(text)
