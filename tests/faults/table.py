"""The table of what trying faults came to: `make test-faults` runs all of them and then this.

It needs PYTHONPATH=.:tests.

python tests/faults/table.py                                 prints it
python tests/faults/table.py --write docs/results/faults.md  writes it between the markers of that page
"""

import ast
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from faults.tally import OUT

from compare.publish.documents import fill_between_markers

COLUMNS = ["kind", "tried", "right", "refused", "wrong", "seed", "commit", "machine"]
HERE = Path(__file__).parent


def table() -> pd.DataFrame:
    """A row a kind and seed, from what the tests left."""
    rows = [json.loads(path.read_text()) for path in sorted(OUT.glob("*.json"))]
    return pd.DataFrame(rows, columns=[*COLUMNS, "whole"]).sort_values(["kind", "seed"], ignore_index=True)


def kinds() -> dict[str, str]:
    """Each kind of fault that a test tallies, with the first line of that test's file, which says what is tried."""
    told = {}
    for path in sorted(HERE.rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        for kind in re.findall(r'\btallied\("([^"]+)"\)', text) + several_kinds(text):
            told[kind] = (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
    return told


def several_kinds(text: str) -> list[str]:
    """Kinds that one test tallies in turn."""
    return [
        kind
        for listed in re.findall(r'parametrize\("kind", \[(.*?)\]', text)
        for kind in re.findall(r'"([^"]+)"', listed)
    ]


def as_markdown(found: pd.DataFrame) -> str:
    """Two tables: what is tried of each kind, and what came of it."""
    tried = [("kind", "what is tried"), *kinds().items()]
    counts = [tuple(COLUMNS)]
    for row in found.to_dict("records"):
        sample = "" if row["whole"] else " (a sample)"
        counts.append((f"{row['kind']}{sample}", *(str(row[name]) for name in COLUMNS[1:])))
    return f"{markdown(tried)}\n\n{markdown(counts)}"


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells, the first of them the head."""
    head, *body = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([head, f"|{'---|' * len(rows[0])}", *body])


if __name__ == "__main__":
    found = table()
    print(found[COLUMNS].to_string(index=False))
    sample = found.loc[~found["whole"].astype(bool), "kind"].tolist()
    print(f"of a sample alone: {', '.join(sample)}" if sample else "all of them whole")
    if sys.argv[1:2] == ["--write"]:
        fill_between_markers(Path(sys.argv[2]), "faults", as_markdown(found))
    sys.exit(int(found["wrong"].sum() > 0))
