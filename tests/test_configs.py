"""What we ship is what we test: the YAML files and the lock file."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from compare.study.config import StudyConfig
from compare.study.plan import tasks_of
from dermssl.flags import parse, parse_choice
from finetune.options.config import FinetuneConfig
from pretrain.known_methods import METHODS
from probe.config import ProbeConfig

ROOT = Path(__file__).parents[1]
CONFIGS = {"finetune": FinetuneConfig, "probe": ProbeConfig, "compare": StudyConfig}
SHIPPED = sorted(
    str(path.relative_to(ROOT))
    for path in (ROOT / "configs").rglob("*.yaml")
    if path.parent.name != "augmentation"  # lists of transforms: finetune/augmentation/test_preset_transforms.py
)
LOCK = (ROOT / "requirements.lock").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def parse_file(path: str) -> object:
    command = Path(path).parts[1]
    if command == "pretrain":
        return parse_choice(METHODS, "method", "test", ["--config", path])
    return parse(CONFIGS[command], "test", ["--config", path])


def locked() -> dict[str, tuple[str, str]]:
    """Version and the lines below it of every requirement in the lock file."""
    blocks = re.findall(r"^([A-Za-z0-9._-]+)==([^ \\]+)((?:.*\n)(?:[ #].*\n?)*)", LOCK, re.MULTILINE)
    return {canonicalize_name(name): (version, rest) for name, version, rest in blocks}


def wanted() -> list[Requirement]:
    own = PROJECT["project"]["dependencies"] + PROJECT["dependency-groups"]["dev"]
    return [Requirement(text) for text in own]


@pytest.mark.parametrize("path", SHIPPED)
def test_every_config_parses(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    parse_file(path)


@pytest.mark.parametrize("path", [path for path in SHIPPED if "/compare/" in path])
def test_every_study_can_be_planned(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    study = parse_file(path)
    assert isinstance(study, StudyConfig)
    tasks = tasks_of(study, threads=1)
    assert len({task.name for task in tasks}) == len({task.id for task in tasks}) == len(tasks) > 1


@pytest.mark.parametrize("command", ["pretrain", "finetune", "probe"])
def test_a_command_has_quick_options_for_the_synthetic_set(command: str) -> None:
    assert f"configs/{command}/synthetic.yaml" in SHIPPED


def test_a_config_says_first_what_it_is() -> None:
    assert [path for path in SHIPPED if not (ROOT / path).read_text().startswith("# ")] == []


def test_the_lock_names_no_host() -> None:
    assert "://" not in LOCK
    assert "--index" not in LOCK


def test_a_dependency_is_locked_to_a_version_that_it_allows_with_hashes() -> None:
    lock, off = locked(), {}
    for requirement in wanted():
        version, rest = lock.get(canonicalize_name(requirement.name), ("not locked", ""))
        if "--hash=sha256:" not in rest or version not in requirement.specifier:
            off[str(requirement)] = version
    assert off == {}


def test_everything_that_is_locked_has_hashes() -> None:
    assert len(locked()) > 50
    assert [name for name, (_, rest) in locked().items() if "--hash=sha256:" not in rest] == []


def test_the_copyleft_successor_of_albumentations_is_not_installed() -> None:
    assert "albumentationsx" not in LOCK.lower()


def test_the_compromised_releases_of_lightning_are_neither_locked_nor_allowed() -> None:
    lightning = next(r for r in wanted() if r.name == "pytorch-lightning")
    for version in ("2.6.2", "2.6.3"):
        assert locked()["pytorch-lightning"][0] != version
        assert version not in lightning.specifier
        assert f"lightning=={version}" not in LOCK
