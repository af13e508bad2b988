"""The notebooks run from top to bottom on drawn images, and are committed without outputs."""

import ast
import importlib
import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from nbclient import NotebookClient

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


@every_notebook
def test_a_notebook_is_valid_and_holds_no_output(path: Path) -> None:
    nbformat.validate(nbformat.read(path, as_version=4))
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells(path))


@every_notebook
def test_a_notebook_names_no_place_of_a_machine(path: Path) -> None:
    assert not re.findall(r"(?<![\w.:/])/(?:home|root|work|tmp|Users|mnt)/", path.read_text())


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
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(place)}}).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in shown)
    assert [output["text"] for output in shown if output.get("name") == "stderr"] == []
