"""What a study folder declares: study.yaml, which may grow but not turn into another study."""

import os
from pathlib import Path
from typing import cast

from compare.study.config import StudyConfig
from compare.study.factors import FACTORS
from dermssl import flags
from dermssl.errors import UserError, cut
from dermssl.files import write_text
from dermssl.shipped import CONFIGS, shipped_file
from dermssl.wording import spelling_hint

GROWS = frozenset({*FACTORS, "folds", "pretrainings", "exclude", "question", "chosen_on"})
"""Options that may change while the runs that are there keep their meaning."""


def write_study_file(study: StudyConfig) -> str:
    """Writes study.yaml; returns what it now says that it did not say before, in words, or nothing.

    More levels, seeds or folds, and other runs left out, make the study grow or shrink; what has been run stays, and
    the report tells of the change. Another primary contrast or margin is told there too, since a choice made after
    seeing results is no declaration.

    Raises:
        UserError: If the folder holds another study: one that compares another factor, or has other fixed options.
    """
    changes = refuse_another_study(study)
    write_text(study.folder / "study.yaml", flags.as_yaml(study))
    return ", ".join(changes)


def refuse_another_study(study: StudyConfig) -> list[str]:
    """How study.yaml differs from `study` in what a study may change.

    Raises:
        UserError: If it differs in what a study may not change.
    """
    path = study.folder / "study.yaml"
    if not path.is_file():
        return []
    declared, options = flags.read_options(path), flags.plain_options(study)
    places = {"data", "masks", "lesion_value", "unlabelled"}
    compared = [key for key in options if key not in StudyConfig.ELSEWHERE - places | {"name"}]
    differing = [key for key in compared if key in declared and declared[key] != options[key]]
    fixed = [key for key in differing if key not in GROWS | {"contrast", "margin"}]
    if fixed or not share_combinations(declared, options):
        differences = ", ".join(
            f"{key} is {declared.get(key)} in its study.yaml and {options[key]} in this command"
            for key in fixed or differing
        )
        raise UserError(
            f"{study.folder}: holds another study ({differences}); go on with that one by `python -m compare run "
            f"{study.folder}`, or give this one another --name, or --out"
        )
    return [f"{key} from {declared[key]} to {options[key]}" for key in differing]


def share_combinations(declared: dict[str, object], options: dict[str, object]) -> bool:
    """Whether the two have a combination in common: a level of every factor that both list."""
    pairs = [(cast(list[object], declared.get(f) or []), cast(list[object], options.get(f) or [])) for f in FACTORS]
    return all(set(map(str, a)) & set(map(str, b)) for a, b in pairs if a and b)


def options_file(word: str, out: Path, was_run: bool = False) -> Path:
    """The file of options that a person means by STUDY: a YAML file, a study folder, or a name.

    Args:
        word: `configs/compare/demo.yaml`, `runs/compare/demo`, or `demo` of either.
        out: Folder of study folders.
        was_run: Whether a name means the study folder rather than the shipped file, where there are both: what was run
            may have had other flags.

    Raises:
        UserError: If it is none of these; it names the nearest.
    """
    shipped = CONFIGS / "compare"
    named = [shipped / f"{word}.yaml", out / word / "study.yaml"]
    for path in [shipped_file(Path(word)), Path(word) / "study.yaml", *(named[::-1] if was_run else named)]:
        if os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises at a name that is too long
            return path
    names = sorted(
        {path.stem for path in shipped.glob("*.yaml")} | {path.parent.name for path in out.glob("*/study.yaml")}
    )
    hint = spelling_hint(word, names) or f"; there are {', '.join(names)}"
    raise UserError(f"{cut(word)}: is no study: no YAML file, no folder with a study.yaml{hint}")
