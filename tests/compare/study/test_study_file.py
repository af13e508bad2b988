"""A study folder holds one study: it may grow, and not become another."""

from dataclasses import replace
from pathlib import Path

import pytest

from compare.command_line import parsed_command
from compare.study.config import StudyConfig
from compare.study.study_file import options_file, write_study_file
from dermssl.errors import UserError
from dermssl.flags import parse


def test_a_first_declaration_is_kept_and_read_back(tmp_path: Path) -> None:
    study = StudyConfig(out=tmp_path, seed=(4, 5), lr=(1e-3,))
    assert write_study_file(study) == ""
    assert parse(StudyConfig, "compare", ["--config", str(study.folder / "study.yaml")]) == study


def test_a_study_may_grow_and_says_so(tmp_path: Path) -> None:
    study = StudyConfig(out=tmp_path)
    write_study_file(study)
    assert write_study_file(replace(study, seed=(0, 1, 2))) == "seed from [0, 1] to [0, 1, 2]"
    assert write_study_file(replace(study, seed=(0, 1, 2), jobs=7, budget=2.0)) == ""


def test_a_contrast_that_is_declared_anew_is_told(tmp_path: Path) -> None:
    study = StudyConfig(out=tmp_path)
    write_study_file(study)
    said = write_study_file(replace(study, contrast=("ssl", "random"), margin=0.02))
    assert said == "contrast from ['ssl', 'imagenet'] to ['ssl', 'random'], margin from 0.01 to 0.02"


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (
            {"arms": "decoder", "contrast": ("unet", "fpn")},
            "arms is init in its study.yaml and decoder in this command",
        ),
        ({"finetune": Path("other.yaml")}, "finetune is None in its study.yaml and other.yaml in this command"),
        ({"decoder": ("pspnet",)}, "decoder is"),
        ({"search": "grid"}, "search is none in its study.yaml and grid in this command"),
    ],
)
def test_another_study_in_the_folder_is_refused(tmp_path: Path, other: dict[str, object], told: str) -> None:
    write_study_file(StudyConfig(out=tmp_path))
    before = (tmp_path / "study" / "study.yaml").read_text()
    with pytest.raises(UserError, match=f"holds another study .*{told}.*give this one another --name"):
        write_study_file(replace(StudyConfig(out=tmp_path), **other))  # type: ignore[arg-type]
    assert (tmp_path / "study" / "study.yaml").read_text() == before


def test_a_study_is_meant_by_its_file_its_folder_or_its_name(tmp_path: Path) -> None:
    write_study_file(StudyConfig(out=tmp_path, name="mine"))
    kept = tmp_path / "mine" / "study.yaml"
    assert (
        options_file(str(kept), tmp_path)
        == options_file(str(tmp_path / "mine"), tmp_path)
        == options_file("mine", tmp_path)
        == kept
    )
    assert options_file("demo", tmp_path).name == "demo.yaml"


def test_what_is_asked_of_a_name_afterwards_is_of_the_study_as_it_was_run(tmp_path: Path) -> None:
    write_study_file(parsed_command(["run", "losses", "--out", str(tmp_path), "--data", "mine", "--seed", "7"]).study)
    (tmp_path / "losses" / "plan.csv").touch()
    for command in ("status", "report", "clean"):
        study = parsed_command([command, "losses", "--out", str(tmp_path)]).study
        assert (study.data, study.seed, study.folder) == (Path("mine"), (7,), tmp_path / "losses")
    assert parsed_command(["run", "losses", "--out", str(tmp_path)]).study.data is None


def test_another_study_is_told_how_the_one_that_is_there_goes_on(tmp_path: Path) -> None:
    write_study_file(StudyConfig(out=tmp_path, data=Path("mine")))
    with pytest.raises(UserError, match=f"go on with that one by `python -m compare run {tmp_path / 'study'}`"):
        write_study_file(StudyConfig(out=tmp_path))


def test_an_unknown_study_is_told_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"lossess: is no study: .* did you mean 'losses'"):
        options_file("lossess", tmp_path)


def test_a_folder_that_was_moved_is_the_study_where_it_is(tmp_path: Path) -> None:
    write_study_file(StudyConfig(out=tmp_path / "before", name="mine"))
    (tmp_path / "before" / "mine" / "plan.csv").touch()
    (tmp_path / "before").rename(tmp_path / "after")
    study = parsed_command(["status", str(tmp_path / "after" / "mine")]).study
    assert study.folder == tmp_path / "after" / "mine"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["stauts", "demo"], "'stauts' is no command of python -m compare; did you mean 'status'"),
        (["demo"], "'demo' is no command"),
        (["run", "demo", "losses"], "run takes one STUDY"),
        (["show"], "show RUN explains one run"),
        (["task", "demo"], "task STUDY ID"),
        (["run", "demo", "--config", "configs/compare/demo.yaml"], "both name a study"),
        (["run", "demo", "--jbos", "2"], "no option --jbos; did you mean --jobs"),
    ],
)
def test_words_that_are_no_command_are_told(words: list[str], told: str) -> None:
    with pytest.raises(UserError, match=told):
        parsed_command(words)


def test_commands_and_flags_arrive() -> None:
    asked = parsed_command(["plan", "demo", "--jobs", "3"])
    assert (asked.name, asked.study.name, asked.study.jobs) == ("plan", "demo", 3)
    assert parsed_command(["--config", "configs/compare/demo.yaml"]).name == "run"
    assert asked.typed == "demo --jobs 3"
    assert parsed_command(["plan", "--out", "my studies"]).typed == "--out 'my studies'"
    assert parsed_command(["show", "0123456789"]).run == "0123456789"
    assert (parsed_command(["task", "demo", "ab"]).study.name, parsed_command(["task", "demo", "ab"]).run) == (
        "demo",
        "ab",
    )
