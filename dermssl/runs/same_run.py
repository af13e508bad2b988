"""Whether a folder holds the run that is to be continued, wherever it lies; what differs where it holds another."""

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dermssl import flags
from dermssl.errors import UserError
from dermssl.files import short_hash
from dermssl.runs.environment import commit

IDENTITY, ENVIRONMENT = "identity.json", "environment.json"
Parts = Mapping[str, Any]


class Content(NamedTuple):
    """What a hash in a run's identity stands for."""

    words: str
    """What there is where the hash differs."""
    options: tuple[str, ...]
    """The options that may lead to it."""


SPLIT = ("data", "split", "val_fraction", "folds", "fold", "split_seed", "on_leak")
WEIGHTS = ("encoder", "init", "against", "checkpoints")
CONTENTS = {  # the parts of a run's identity that are no options, by their names there
    "data": Content("other images", ("protect", *SPLIT)),
    "parent": Content("other weights to start from", WEIGHTS),
    "teacher": Content("other weights of the teacher", ("teacher",)),
    "encoder": Content("other weights to start from", WEIGHTS),
    "encoder_sha256": Content("other weights to look at", WEIGHTS),
    "split": Content("another split into training and held-out images", (*SPLIT, "limit")),
    "inner": Content("other training images set aside", ("inner_fraction", *SPLIT)),
    "labels": Content("other classes of the images", ("labels", "data")),
    "augmentation": Content("another augmentation", ("augmentation",)),
}


FLAGS, CONTENT = "leave those flags out", "put back what it was begun with"


class Difference(NamedTuple):
    """One thing in which two runs differ, and what makes them one again."""

    text: str
    remedy: str = ""
    """Empty where there is none."""


def refuse_another_run(folder: Path, options: Parts, content: Parts) -> None:
    """Stops where the folder does not hold the run of this identity; its place and its name make no difference.

    Args:
        folder: Of `--resume`.
        options: The resolved options, as YAML knows them.
        content: The identity (`dermssl.runs.folder.identity`).

    Raises:
        UserError: With all that differs. A run that was begun before runs kept their identity is known by its options
            and by the hash that ends its name.
    """
    options_before = flags.read_options(folder / "config.yaml")
    here = json.loads(json.dumps(content))
    before = identity_in(folder)
    if before is None:
        before = options_alone(options_before, options, here)
        if before == here and not folder.resolve().name.endswith(f"-{short_hash(content)}"):
            raise UserError(unknown_run(folder, content, contents_of(here, options)))
    differing = [key for key in here | before if before.get(key, ...) != here.get(key, ...)]
    if differing:
        contents = [key for key in contents_of(here, options) if key in differing]
        plain = [difference(key, before, here) for key in differing if key not in contents]
        leading = list(option_changes(contents, options_before, options))
        # What an option leads to is as it was where that option is: a seed draws images and weights.
        remedy = FLAGS if leading or any(change.remedy for change in plain) else CONTENT
        words = dict.fromkeys(CONTENTS[key].words for key in contents)
        others = [Difference(f"{word} than it was begun with", remedy) for word in words]
        raise UserError(another_run(folder, [*plain, *others, *leading]))


def contents_of(here: Parts, options: Parts) -> list[str]:
    """The parts of an identity that are hashes and no options; a pretraining's `encoder` is the option itself."""
    return [key for key, value in here.items() if key in CONTENTS and options.get(key, ...) != value]


def identity_in(folder: Path) -> dict[str, Any] | None:
    """The identity that a run keeps; None of one that was begun before runs kept it."""
    path = folder / IDENTITY
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def options_alone(options_before: Parts, options: Parts, here: Parts) -> dict[str, Any]:
    """The identity of a run that keeps none, as far as its options tell: contents are taken to be what they are now."""
    chosen = {key for key, value in here.items() if options.get(key, ...) == value}
    contents = {key: value for key, value in here.items() if key not in chosen}
    return contents | {key: options_before[key] for key in chosen if key in options_before}


def option_changes(contents: Iterable[str], options_before: Parts, options: Parts) -> Iterator[Difference]:
    """The options that differ among those that may lead to contents that differ."""
    names = dict.fromkeys(name for key in contents for name in CONTENTS[key].options)
    for name in names:
        if name in options_before and name in options and options_before[name] != options[name]:
            yield Difference(f"{name} is {options_before[name]} there and {options[name]} here", FLAGS)


def difference(key: str, before: Parts, here: Parts) -> Difference:
    """What differs in one part of two identities that is no content."""
    if key == "format":
        return Difference(f"runs of format {before[key]} there and {here[key]} here, by another version of this code")
    if key not in before:
        return Difference(f"an option {key} here, which the code that began it did not have")
    if key not in here:
        return Difference(f"an option {key} there, which this code does not have")
    return Difference(f"{key} is {before[key]} there and {here[key]} here", FLAGS)


def another_run(folder: Path, changes: Sequence[Difference]) -> str:
    """The sentence for a folder that holds another run."""
    commits = commits_of(folder)
    code = [f"code of commit {commits[0]} there and {commits[1]} here"] if commits else []
    remedies = dict.fromkeys(change.remedy for change in changes if change.remedy)
    whole = all(change.remedy for change in changes)  # what has no remedy is not mended by that of the others
    return (
        f"--resume {folder}: holds another run ({', '.join([change.text for change in changes] + code)}); "
        f"{' and '.join(remedies) + ', or ' if whole else ''}{anew(folder)}"
    )


def unknown_run(folder: Path, content: Parts, contents: Iterable[str]) -> str:
    """The sentence for a run without an identity whose options are the same and whose name is not."""
    others = ", ".join(dict.fromkeys(CONTENTS[key].words for key in contents))
    return (
        f"--resume {folder}: cannot be told from another run: its options are the same, its name does not end with "
        f"-{short_hash(content)}, and it has no {IDENTITY} to say whether it was renamed or there are now {others} or "
        f"runs of another format; give the folder back the name that it had, or {anew(folder)}"
    )


def anew(folder: Path) -> str:
    """How a run of the same options is begun."""
    return f"start anew with --config {shlex.quote(str(folder / 'config.yaml'))} in place of --resume"


def commits_of(folder: Path) -> tuple[str, str] | None:
    """The commits that a run was begun at and that this code is of, shortened; None where they are one, or unknown."""
    path, now = folder / ENVIRONMENT, commit()
    then = str(json.loads(path.read_text(encoding="utf-8")).get("commit", "")) if path.is_file() else ""
    return (then[:10], now[:10]) if then and now and then != now else None


def code_in_words(folder: Path) -> Iterator[str]:
    """A line where a run goes on with other code than it was begun with; mostly none."""
    commits = commits_of(folder)
    if commits:
        yield (
            f"code: the run was begun at commit {commits[0]} and goes on at {commits[1]}; "
            "where these compute differently, it ends as neither would have"
        )
