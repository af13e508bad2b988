"""What --resume takes for the run that it is to continue, and what it says of one that is another."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from dermssl import flags
from dermssl.errors import UserError
from dermssl.runs import same_run
from dermssl.runs.folder import identity, open_run
from dermssl.runs.same_run import IDENTITY
from dermssl.runs.seal import broken
from finetune.options.config import FinetuneConfig
from pretrain.recipes import SimCLRConfig

CONTENT = {"data": "d1", "encoder": "e1", "split": "s1", "augmentation": "a1", "inner": "i1"}


@pytest.fixture
def config(tmp_path: Path) -> FinetuneConfig:
    return FinetuneConfig(out=tmp_path / "runs")


def what(config: FinetuneConfig, content: Mapping[str, str] = CONTENT) -> dict[str, object]:
    return identity(config, config.ELSEWHERE, **content)


def begin(config: FinetuneConfig, *, finished: bool = False) -> Path:
    with open_run(config, "unet-ssl", what(config)) as work:
        if finished:
            work.finish({"jaccard": 0.5})
    return work.folder


def resume(config: FinetuneConfig, **content: str) -> Path:
    with open_run(config, "unet-ssl", what(config, CONTENT | content)) as work:
        return work.folder


def refusal(config: FinetuneConfig, **content: str) -> str:
    with pytest.raises(UserError) as caught:
        resume(config, **content)
    return str(caught.value)


def without_identity(folder: Path) -> Path:
    """As runs were left before they kept an identity."""
    (folder / IDENTITY).unlink()
    return folder


@pytest.mark.parametrize("name", ["elsewhere/unet-ssl-0", "runs/my best run"])
def test_a_run_is_continued_wherever_it_lies_and_whatever_it_is_called(
    name: str, config: FinetuneConfig, tmp_path: Path
) -> None:
    moved = tmp_path / name
    moved.parent.mkdir(exist_ok=True)
    begin(config).rename(moved)
    assert resume(replace(config, resume=moved)) == moved


def test_a_moved_run_is_continued_beside_another_that_stands_at_its_place(
    config: FinetuneConfig, tmp_path: Path
) -> None:
    moved = Path(shutil.copytree(folder := begin(config), tmp_path / "moved"))
    assert resume(replace(config, resume=moved, out=tmp_path / "other")) == moved
    assert resume(replace(config, resume=moved)) == moved
    assert folder.is_dir()


def test_a_finished_run_that_was_moved_says_that_it_is_finished(
    config: FinetuneConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = begin(config, finished=True).rename(tmp_path / "moved")
    assert resume(replace(config, resume=moved)) == moved
    assert capsys.readouterr().out == f"{moved}: this run is finished; there is nothing to continue\n"


def test_the_identity_is_sealed(config: FinetuneConfig) -> None:
    folder = begin(config, finished=True)
    (folder / IDENTITY).write_text("{}")
    assert broken(folder) == [IDENTITY]


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("data", "other images"),
        ("encoder", "other weights to start from"),
        ("split", "another split into training and held-out images"),
        ("augmentation", "another augmentation"),
        ("inner", "other training images set aside"),
    ],
)
def test_content_that_has_changed_is_named(part: str, words: str, config: FinetuneConfig) -> None:
    folder = begin(config)
    assert refusal(replace(config, resume=folder), **{part: "other"}) == (
        f"--resume {folder}: holds another run ({words} than it was begun with); put back what it was begun with, "
        f"or start anew with --config {folder}/config.yaml in place of --resume"
    )


def test_a_flag_that_changes_the_content_is_named_with_it(config: FinetuneConfig) -> None:
    folder = begin(config)
    assert refusal(replace(config, resume=folder, data=Path("b"), split_seed=7), data="other", split="other") == (
        f"--resume {folder}: holds another run (other images than it was begun with, another split into training and "
        "held-out images than it was begun with, data is None there and b here, split_seed is 0 there and 7 here); "
        f"leave those flags out, or start anew with --config {folder}/config.yaml in place of --resume"
    )


def test_what_another_seed_draws_is_not_to_be_put_back(config: FinetuneConfig) -> None:
    folder = begin(config)
    said = refusal(replace(config, resume=folder, seed=3), data="other", encoder="other")
    assert "(seed is 0 there and 3 here, other weights to start from than it was begun with, other images" in said
    assert said.endswith("leave those flags out, or " + said.rpartition(" or ")[2])


def test_an_encoder_that_is_an_option_is_told_as_one(tmp_path: Path) -> None:
    config = SimCLRConfig(out=tmp_path / "runs")
    content = {"data": "d1", "parent": "p1"}
    with open_run(config, "simclr-imagenet", identity(config, config.ELSEWHERE, **content)) as work:
        folder = work.folder
    other = replace(config, resume=folder, encoder="resnet18")
    with (
        pytest.raises(UserError, match=r"\(encoder is tu-\S+ there and resnet18 here\)"),
        open_run(other, "simclr-imagenet", identity(other, config.ELSEWHERE, **content)),
    ):
        pass


def test_equal_images_in_another_folder_are_no_difference(config: FinetuneConfig) -> None:
    folder = begin(config)
    assert resume(replace(config, resume=folder, data=Path("moved"), threads=3)) == folder


def test_a_run_of_another_format_is_to_be_started_anew(config: FinetuneConfig) -> None:
    folder = begin(config)
    (folder / IDENTITY).write_text(json.dumps(what(config) | {"format": 3, "data": "d0"}))
    assert refusal(replace(config, resume=folder)) == (
        f"--resume {folder}: holds another run (runs of format 3 there and 4 here, by another version of this code, "
        "other images than it was begun with); "
        f"start anew with --config {folder}/config.yaml in place of --resume"
    )


def test_an_option_that_is_newer_than_the_run_is_named(config: FinetuneConfig) -> None:
    folder = begin(config)
    (folder / IDENTITY).write_text(json.dumps({key: value for key, value in what(config).items() if key != "ema"}))
    assert "(an option ema here, which the code that began it did not have); start anew" in refusal(
        replace(config, resume=folder)
    )


def test_the_commits_are_named_where_runs_differ(config: FinetuneConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = begin(config)
    (folder / "environment.json").write_text(json.dumps({"commit": "a" * 40}))
    monkeypatch.setattr(same_run, "commit", lambda: "b" * 40)
    said = refusal(replace(config, resume=folder), data="other")
    assert f"than it was begun with, code of commit {'a' * 10} there and {'b' * 10} here); put back" in said


def test_a_run_that_goes_on_with_other_code_says_so_in_its_log(
    config: FinetuneConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = begin(config)
    (folder / "environment.json").write_text(json.dumps({"commit": "a" * 40}))
    monkeypatch.setattr(same_run, "commit", lambda: "b" * 40)
    resume(replace(config, resume=folder))
    assert (folder / "log.txt").read_text() == (
        f"code: the run was begun at commit {'a' * 10} and goes on at {'b' * 10}; "
        "where these compute differently, it ends as neither would have\n"
    )


def test_a_run_without_an_identity_is_known_by_its_name_wherever_it_lies(
    config: FinetuneConfig, tmp_path: Path
) -> None:
    folder = without_identity(begin(config))
    moved = tmp_path / f"renamed-{folder.name}"
    folder.rename(moved)
    assert resume(replace(config, resume=moved)) == moved


def test_a_run_without_an_identity_that_differs_in_options_names_them(config: FinetuneConfig) -> None:
    folder = without_identity(begin(config))
    assert "holds another run (lr is 0.0003 there and 0.5 here); leave those flags out" in refusal(
        replace(config, resume=folder, lr=0.5)
    )


def test_of_a_run_without_an_identity_and_its_name_what_cannot_be_known_is_said(
    config: FinetuneConfig, tmp_path: Path
) -> None:
    folder = without_identity(begin(config))
    moved = folder.rename(tmp_path / "moved")
    assert refusal(replace(config, resume=moved)) == (
        f"--resume {moved}: cannot be told from another run: its options are the same, its name does not end with "
        f"-{folder.name.rpartition('-')[2]}, and it has no identity.json to say whether it was renamed or there are "
        "now other weights to start from, other images, another split into training and held-out images, another "
        "augmentation, other training images set aside or runs of another format; give the folder back the name that "
        f"it had, or start anew with --config {moved}/config.yaml in place of --resume"
    )


def test_what_begins_anew_does(config: FinetuneConfig) -> None:
    folder = begin(config)
    other = flags.parse(FinetuneConfig, "test", ["--config", str(folder / "config.yaml")])
    assert resume(other, data="other") != folder
