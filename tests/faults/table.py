"""Prints the table of what trying faults came to: `make test-faults` runs all of them and then this."""

import json
import sys

import pandas as pd
from faults.tally import OUT

COLUMNS = ["kind", "tried", "right", "refused", "wrong", "seed"]


def table() -> pd.DataFrame:
    """A row a kind, from what the tests left."""
    rows = [json.loads(path.read_text()) for path in sorted(OUT.glob("*.json"))]
    return pd.DataFrame(rows, columns=[*COLUMNS, "whole"])


if __name__ == "__main__":
    found = table()
    print(found[COLUMNS].to_string(index=False))
    sample = found.loc[~found["whole"].astype(bool), "kind"].tolist()
    print(f"of a sample alone: {', '.join(sample)}" if sample else "all of them whole")
    sys.exit(int(found["wrong"].sum() > 0))
