"""Run the notebooks on drawn images and keep what they show: `python -m pictures.notebooks`, or `make notebooks-run`.

    python -m pictures.notebooks                # all of them
    python -m pictures.notebooks 01_data        # one

The last one reads the demo's study, which is done first where it is not done yet: some four minutes on two cores.
"""

import argparse
import os
from pathlib import Path

from dermssl.errors import UserError, one_sentence

NOTEBOOKS = Path("notebooks")
STUDY = "DERMSSL_NOTEBOOK_STUDY"
OTHER_DATA = ("DERMSSL_NOTEBOOK_DATA", "DERMSSL_NOTEBOOK_IMAGES")  # what is committed shows the synthetic set


def main() -> None:
    """Runs those that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m pictures.notebooks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="notebooks without .ipynb; all by default")
    names = parser.parse_args().names
    paths = [NOTEBOOKS / f"{name}.ipynb" for name in names] or sorted(NOTEBOOKS.glob("*.ipynb"))
    lacking = [str(path) for path in paths if not path.is_file()]
    if lacking or not paths:
        raise UserError(f"no notebook {', '.join(lacking) or NOTEBOOKS}; type this in the root of the checkout")
    for path in paths:
        run_notebook(path)
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB", flush=True)
    print(f"open:    {paths[0]} (`make notebooks` opens them in JupyterLab)")


def run_notebook(path: Path) -> None:
    """Executes a notebook from top to bottom and writes it with its outputs.

    Raises:
        UserError: If it writes to stderr, which no reader should meet.
    """
    import nbformat
    from nbclient import NotebookClient

    from pictures.demo import done_demo
    from pictures.outputs import without_noise

    for name in OTHER_DATA:
        os.environ.pop(name, None)
    if STUDY in path.read_text(encoding="utf-8"):
        os.environ[STUDY] = str(done_demo())
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=None, record_timing=False, resources={"metadata": {"path": path.parent}})
    client.execute()
    kept = without_noise(notebook)
    nbformat.validate(kept)
    nbformat.write(kept, path)


if __name__ == "__main__":
    with one_sentence("python -m pictures.notebooks"):
        main()
