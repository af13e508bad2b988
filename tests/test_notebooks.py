"""The notebooks run from top to bottom on drawn images, and are committed with what they showed there."""

import ast
import base64
import importlib
import importlib.util
import io
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import numpy as np
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from nbclient import NotebookClient
from PIL import Image

from dermssl.errors import UserError
from pictures.outputs import WIDTH, small_png, without_noise

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LONG = (
    "01_data",
    "02_views_and_padding",
    "03_embeddings",
    "04_results",
)  # of what they call, the rooms' own tests tell
PACKAGES = ("dermssl", "pretrain", "finetune", "probe", "compare")
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path: Path, kind: str = "code") -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


def plain_code(path: Path) -> ast.Module:
    """All code cells as one module, what only IPython understands turned into calls."""
    return ast.parse("\n".join(TransformerManager().transform_cell("".join(cell["source"])) for cell in cells(path)))


def drawn_study() -> ModuleType:
    path = ROOT / "tests" / "compare" / "drawn_study.py"
    spec = importlib.util.spec_from_file_location("drawn_study", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules.setdefault("drawn_study", importlib.util.module_from_spec(spec))
    spec.loader.exec_module(module)
    return module


def test_the_four_notebooks_are_there() -> None:
    assert [path.stem for path in NOTEBOOKS] == [
        "01_data",
        "02_views_and_padding",
        "03_embeddings",
        "04_results",
    ]


MOST = 1_000_000  # bytes of a notebook with its outputs
TIME = re.compile(r"\b20\d\d-\d\d-\d\d[T ]|\b\d\d:\d\d:\d\d\b|\b\d+(?:\.\d+)? ?(?:s|ms|seconds|min)\b(?! ?/)|it/s\]")


def outputs(path: Path) -> list[list[dict[str, Any]]]:
    """What each code cell showed."""
    return [cell["outputs"] for cell in cells(path)]


def kinds(shown: list[list[dict[str, Any]]]) -> list[set[str]]:
    """Of what types the data are that each cell showed."""
    return [{kind for output in cell for kind in output.get("data", {}) if kind != "text/plain"} for cell in shown]


def texts(path: Path) -> str:
    """All that outputs say in letters."""
    shown = [output for cell in outputs(path) for output in cell]
    data = [text for output in shown for kind, text in output.get("data", {}).items() if not kind.startswith("image/")]
    return "\n".join("".join(text) for text in [*data, *(output["text"] for output in shown if "text" in output)])


@every_notebook
def test_a_notebook_is_valid_and_shows_pictures_and_tables_in_at_most_a_megabyte(path: Path) -> None:
    nbformat.validate(nbformat.read(path, as_version=4))
    there = set().union(*kinds(outputs(path)))
    assert {"image/png", "text/html"} <= there, "`make notebooks-run` keeps outputs"
    assert [output for cell in outputs(path) for output in cell if output.get("name") == "stderr"] == []
    assert path.stat().st_size <= MOST


@every_notebook
def test_a_notebook_holds_nothing_of_the_machine_or_the_moment_that_ran_it(path: Path) -> None:
    assert re.findall(r"(?<![\w.:/])/(?:home|root|work|tmp|Users|mnt)/", path.read_text()) == []
    assert re.findall(r"\bat 0x[0-9a-f]+", path.read_text()) == []
    assert TIME.findall(texts(path)) == []
    numbers = [cell["execution_count"] for cell in cells(path)]
    numbers += [output.get("execution_count") for cell in outputs(path) for output in cell]
    assert set(numbers) == {None}
    assert [cell["metadata"] for cell in cells(path) if cell["metadata"]] == []


@every_notebook
def test_the_pictures_of_a_notebook_are_small(path: Path) -> None:
    shown = [output["data"] for cell in outputs(path) for output in cell if "image/png" in output.get("data", {})]
    pictures = [Image.open(io.BytesIO(base64.b64decode("".join(data["image/png"])))) for data in shown]
    assert [picture.size for picture in pictures if picture.width > WIDTH] == []


@every_notebook
def test_every_name_that_a_notebook_imports_of_ours_exists(path: Path) -> None:
    wanted = [
        (node.module, alias.name)
        for node in ast.walk(plain_code(path))
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] in PACKAGES
        for alias in node.names
    ]
    assert wanted
    assert [f"{module}.{name}" for module, name in wanted if not hasattr(importlib.import_module(module), name)] == []


@every_notebook
def test_the_first_code_cell_holds_the_parameters_and_finds_the_root(path: Path) -> None:
    source = "".join(cells(path)[0]["source"])
    assert 'if Path.cwd().name == "notebooks":\n    os.chdir("..")' in source
    assert re.search(r"^(DATA|STUDY) = ", source, re.MULTILINE)


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, id=path.stem, marks=[pytest.mark.slow] * (path.stem in LONG)) for path in NOTEBOOKS],
)
def test_a_notebook_runs_on_drawn_images(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.setenv("DERMSSL_NOTEBOOK_IMAGES", "32")
    monkeypatch.setenv("DERMSSL_NOTEBOOK_STUDY", str(tmp_path / "study"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "jupyter"))
    monkeypatch.delenv("DERMSSL_CACHE", raising=False)
    if "results" in path.stem:
        drawn_study().draw_study(tmp_path / "study")
    notebook = nbformat.read(path, as_version=4)
    committed = outputs(path)
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(place)}}).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in shown)
    assert [output["text"] for output in shown if output.get("name") == "stderr"] == []
    now = kinds([cell["outputs"] for cell in notebook.cells if cell["cell_type"] == "code"])
    kept = kinds(committed)
    assert len(kept) == len(now)
    assert all(old <= new for old, new in zip(kept, now, strict=True)), "a cell shows less; `make notebooks-run`"


def png(width: int) -> str:
    noise = np.random.default_rng(0).integers(0, 256, (20, width, 4), np.uint8)
    data = io.BytesIO()
    Image.fromarray(noise, "RGBA").save(data, format="PNG")
    return base64.b64encode(data.getvalue()).decode()


def run_cell(*outputs: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A notebook of one cell as a run leaves it."""
    cell = nbformat.v4.new_code_cell("1", id="one", execution_count=3, outputs=[*outputs])
    cell.metadata = {"execution": {"iopub.execute_input": "2026-01-01T00:00:00Z"}}
    return nbformat.v4.new_notebook(cells=[cell], metadata={"language_info": {"name": "python", "version": "3.11.7"}})


def test_what_two_runs_show_is_kept_alike() -> None:
    def shown(draw: str) -> str:
        data = {"text/html": f'<table id="T_{draw}"><th id="T_{draw}_row0">', "text/plain": f"<Styler at 0x7f{draw}>"}
        table = nbformat.v4.new_output("execute_result", data=data, execution_count=int(draw[0]))
        printed = nbformat.v4.new_output("stream", name="stdout", text=f"<Line at 0x7f{draw}>\n")
        return nbformat.writes(without_noise(run_cell(table, printed)))

    first, second = shown("1a2b3"), shown("4c5d6")
    assert first == second
    assert "2026" not in first
    assert "3.11.7" not in first


def test_a_picture_is_kept_small_and_with_a_palette() -> None:
    kept = without_noise(run_cell(nbformat.v4.new_output("display_data", data={"image/png": png(1000)})))
    data = kept.cells[0].outputs[0]["data"]["image/png"]
    picture = Image.open(io.BytesIO(base64.b64decode(data)))
    assert (picture.size, picture.mode) == ((720, 14), "P")
    again = small_png(picture, 720, 256)
    assert Image.open(io.BytesIO(again)).size == picture.size


def test_a_cell_that_writes_to_stderr_is_named() -> None:
    with pytest.raises(UserError, match="code cell 1 wrote to stderr: a warning"):
        without_noise(run_cell(nbformat.v4.new_output("stream", name="stderr", text="a warning\n")))
