"""What came of trying a kind of fault: right, refused in a sentence or wrong (docs/results/faults.md)."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from dermssl.runs.environment import environment

OUT = Path(os.environ.get("FAULTS_OUT", Path(__file__).parents[2] / "runs/faults"))  # whatever folder a test is in
WHOLE = os.environ.get("FAULTS") == "whole"  # `make test-faults`; `make test` takes a sample
SEED = int(os.environ.get("FAULTS_SEED", "0"))


def trials(whole: int, sample: int) -> int:
    """How many to try: `whole` of them where all is asked for, else a `sample` for the fast tests."""
    return whole if WHOLE else sample


def generator(kind: str) -> np.random.Generator:
    """Random numbers of a kind of fault, by the seed that the table names."""
    return np.random.default_rng([SEED, *kind.encode()])


@dataclass
class Tally:
    """Counts of one kind of fault."""

    kind: str
    right: int = 0
    """Trials that ended as without a fault: a result equal to the unbroken one."""
    refused: int = 0
    """Trials that ended in one sentence with the culprit, before any work or with what was done kept."""
    wrong: list[str] = field(default_factory=list)
    """Trials that did neither, each in words that let one repeat it."""

    def told(self, sentence: str, *parts: str) -> None:
        """Counts a refusal: right if it is one line, no traceback, and holds all `parts`."""
        is_sentence = sentence.strip() and "\n" not in sentence.strip() and "Traceback" not in sentence
        if is_sentence and all(part in sentence for part in parts):
            self.refused += 1
        else:
            self.wrong.append(sentence.strip()[-300:])

    @property
    def row(self) -> dict[str, object]:
        """For the table."""
        tried = self.right + self.refused + len(self.wrong)
        return {"kind": self.kind, "tried": tried, "right": self.right, "refused": self.refused,
                "wrong": len(self.wrong), "seed": SEED, "whole": WHOLE, **circumstances()}  # fmt: skip


@cache
def circumstances() -> dict[str, str]:
    """The code and the kind of machine: no name of a computer, no folder."""
    here = environment()
    changed = ", changed" if here["dirty"] else ""
    return {"commit": f"{str(here['commit'])[:10]}{changed}", "machine": f"{here['cpu']}, {here['cores']} cores"}


@contextmanager
def tallied(kind: str) -> Iterator[Tally]:
    """Counts a kind of fault; writes its row, and fails with every trial that went wrong."""
    tally = Tally(kind)
    yield tally
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / f"{kind.replace(' ', '-')}-{SEED}.json").write_text(json.dumps(tally.row))
    print(f"{kind}: {tally.row} (FAULTS_SEED={SEED})")
    assert tally.wrong == [], f"{kind}, FAULTS_SEED={SEED}: {tally.wrong[:5]}"
