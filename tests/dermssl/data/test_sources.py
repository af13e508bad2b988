"""Where images come from when nobody says, and which options are quick because of it."""

from pathlib import Path

import pytest

from dermssl.data.sources import (
    LABELLED,
    LABELLED_COUNT,
    SYNTHETIC_LABELLED,
    SYNTHETIC_UNLABELLED,
    UNLABELLED,
    UNLABELLED_COUNT,
    ImageSource,
    draw_if_absent,
    labelled_source,
    quick_options,
    unlabelled_source,
)
from dermssl.errors import UserError
from dermssl.shipped import CONFIGS
from dermssl.synthetic import dataset

pytestmark = pytest.mark.usefixtures("workplace")


def make(*folders: Path) -> None:
    for folder in folders:
        folder.mkdir(parents=True)


def test_the_folder_that_is_given_is_taken(tmp_path: Path) -> None:
    make(LABELLED, UNLABELLED, tmp_path / "mine")
    for choose in (labelled_source, unlabelled_source):
        assert choose(tmp_path / "mine") == ImageSource(
            tmp_path / "mine", f"{tmp_path / 'mine'} (--data)", synthetic=False
        )


@pytest.mark.parametrize("choose", [labelled_source, unlabelled_source])
def test_a_folder_that_is_not_there_is_refused(choose: object, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("none", "file"):
        with pytest.raises(UserError) as caught:
            choose(tmp_path / name)  # type: ignore[operator]
        assert str(caught.value) == (
            f"--data {tmp_path / name}: no such folder or list; give a folder of images or a CSV of their paths, "
            "or leave --data out"
        )


def test_without_a_word_the_folders_of_the_readme_are_taken_where_they_exist() -> None:
    make(LABELLED)
    assert labelled_source(None).folder == unlabelled_source(None).folder == LABELLED
    make(UNLABELLED)
    assert (labelled_source(None).folder, unlabelled_source(None).folder) == (LABELLED, UNLABELLED)
    assert unlabelled_source(None).why == "data/unlabelled (no --data given, and this folder exists)"
    assert not labelled_source(None).synthetic


def test_without_a_word_and_without_data_the_synthetic_sets_are_taken_with_the_reason() -> None:
    assert labelled_source(None) == ImageSource(
        SYNTHETIC_LABELLED,
        "the synthetic set in data/synthetic/labelled (no --data given, and no data/isic2018)",
        synthetic=True,
    )
    assert unlabelled_source(None).folder == SYNTHETIC_UNLABELLED
    assert unlabelled_source(None).why.endswith("and no data/unlabelled or data/isic2018)")


def test_the_synthetic_set_may_be_named_before_it_is_drawn() -> None:
    assert labelled_source(SYNTHETIC_LABELLED).synthetic
    assert unlabelled_source(SYNTHETIC_UNLABELLED).synthetic


def test_the_synthetic_set_is_drawn_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    drawn = []

    def write_dataset(folder: Path, count: int, size: int, seed: int, *, masks: bool, workers: int) -> None:
        drawn.append((folder, count, size, seed, masks, workers))
        folder.mkdir(parents=True)

    monkeypatch.setattr(dataset, "write_dataset", write_dataset)
    for _ in range(2):
        draw_if_absent(labelled_source(None), workers=1)
        draw_if_absent(unlabelled_source(None), workers=2)
    assert drawn == [(SYNTHETIC_LABELLED, 400, 192, 0, True, 1), (SYNTHETIC_UNLABELLED, 1000, 192, 1, False, 2)]
    assert capsys.readouterr().out.startswith("drawing 400 synthetic images of 192 px into data/synthetic/labelled\n")


def test_nothing_is_drawn_into_a_folder_of_the_user() -> None:
    draw_if_absent(ImageSource(Path("mine"), "mine", synthetic=False), workers=1)
    assert not Path("mine").exists()


def test_the_document_names_the_sizes_of_the_synthetic_sets() -> None:
    text = (CONFIGS.parent / "docs" / "data.md").read_text()
    assert f"`{SYNTHETIC_LABELLED}` ({LABELLED_COUNT} pictures)" in text
    assert f"`{SYNTHETIC_UNLABELLED}` ({UNLABELLED_COUNT} pictures)" in text


@pytest.mark.parametrize("command", ["pretrain", "finetune", "probe"])
def test_quick_options_are_for_the_synthetic_set_alone(command: str) -> None:
    options = quick_options(command, labelled_source(None))
    assert options == CONFIGS / command / "synthetic.yaml"
    assert options.is_file()
    make(LABELLED)
    assert quick_options(command, labelled_source(None)) is None
