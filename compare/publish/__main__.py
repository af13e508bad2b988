"""Write the pages, figures and findings of the documents anew from kept studies: `python -m compare.publish`."""

import argparse
from pathlib import Path

from dermssl.errors import one_sentence


def main() -> None:
    """Publishes what stands in docs/results."""
    parser = argparse.ArgumentParser(prog="python -m compare.publish", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path(), help="folder that holds README.md and docs/results")
    root = parser.parse_args().root
    from compare.publish.documents import publish_results  # once --help is answered, which waits for no library

    publish_results(root)
    print(f"results: {root / 'docs' / 'results.md'}\nnext:    git diff README.md docs")


if __name__ == "__main__":
    with one_sentence("python -m compare.publish"):
        main()
