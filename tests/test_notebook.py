"""The notebook's cells run, from the repository's folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "datasets" / "examples" / "notebook.ipynb"


def test_the_notebook_runs(monkeypatch, capsys):
    content = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert content["nbformat"] == 4
    assert not [cell for cell in content["cells"] if cell.get("outputs")]
    cells = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    assert [cell["metadata"].get("tags") for cell in cells[:2]] == [["setup"], None]
    assert "".join(cells[0]["source"]).startswith('REPOSITORY = ""')  # nothing is installed unasked
    monkeypatch.chdir(ROOT)
    known: dict = {}
    for cell in cells[1:]:
        exec("".join(cell["source"]), known)
    answer = known["answer"]
    assert answer.mask.dtype == np.bool_
    assert 0.2 < answer.mask.mean() < 0.35  # the drums
    assert answer._repr_png_().startswith(b"\x89PNG")
    told = capsys.readouterr().out
    assert "query        A photo of drum" in told
    assert told.count("consensus | ") == 2
    assert not known["found"].mask.any()  # of silence
