"""Odd files and folders are read as they were drawn, or refused with a sentence that says what they are."""

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.zoo import draw_zoo, zoo
from data.zoo.drawing import read_labels, reread
from data.zoo.exhibit import Exhibit, Read, Refused, gather_pairs, gathered_id
from data.zoo.reading import reading_of
from dermssl.check.config import CheckConfig
from dermssl.check.run import run
from dermssl.data.images import read_rgb
from dermssl.data.manifest import Manifest, read_manifest, refuse_problems
from dermssl.errors import UserError

READ = [name for name, exhibit in zoo().items() if isinstance(exhibit.outcome, Read)]
REFUSED = {name: exhibit.outcome for name, exhibit in zoo().items() if isinstance(exhibit.outcome, Refused)}
OF_SETS = [name for name, refusal in REFUSED.items() if refusal.kind == "set"]
OF_ROWS = [name for name, refusal in REFUSED.items() if refusal.kind != "set"]

Open = Callable[[str], Manifest]

pytestmark = pytest.mark.usefixtures("apart")


def outcome_of(name: str) -> Read:
    outcome = zoo()[name].outcome
    assert isinstance(outcome, Read)
    return outcome


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Open:
    """Draws an exhibit and reads it, once."""
    manifests: dict[str, Manifest] = {}

    def read(name: str) -> Manifest:
        if name not in manifests:
            exhibit = zoo()[name]
            manifests[name] = read_manifest(exhibit.draw(tmp_path_factory.mktemp("exhibit")), reading_of(exhibit))
        return manifests[name]

    return read


def rows_of(manifest: Manifest) -> dict[str, int]:
    return {image: row for row, image in enumerate(manifest.table["image_id"])}


@pytest.mark.parametrize("name", READ)
def test_a_set_is_read_as_it_was_drawn(name: str, opened: Open) -> None:
    manifest, outcome = opened(name), outcome_of(name)
    refuse_problems(manifest, masks=bool(outcome.lesions))
    compare_pixels(zoo()[name], outcome, manifest)
    compare_lesions(outcome, manifest)
    said = manifest.sentences()
    for pattern in outcome.notes:
        assert any(re.search(pattern, sentence) for sentence in said), (pattern, said)
    table, expected = manifest.table.set_index("image_id"), outcome.metadata
    assert {image: {column: table.loc[image, column] for column in row} for image, row in expected.items()} == expected


def compare_pixels(exhibit: Exhibit, outcome: Read, manifest: Manifest) -> None:
    """Asserts that these images are there and no other, and that their pixels are those drawn."""
    assert sorted(manifest.table["image_id"]) == sorted(outcome.pixels)
    for image, row in rows_of(manifest).items():
        off = np.abs(read_rgb(manifest.paths()[row]).astype(int) - outcome.pixels[image]).max()
        assert off <= (outcome.near if image == exhibit.odd else 0), image


def compare_lesions(outcome: Read, manifest: Manifest) -> None:
    """Asserts that these images have masks and no other, and that their lesions are those drawn."""
    assert set(manifest.table.loc[manifest.table["mask_path"] != "", "image_id"]) == set(outcome.lesions)
    for image, lesion in outcome.lesions.items():
        assert np.array_equal(manifest.lesion(rows_of(manifest)[image]), lesion), image


@pytest.mark.parametrize("name", [name for name in READ if outcome_of(name).findings])
def test_a_check_finds_what_is_odd(name: str, tmp_path: Path) -> None:
    exhibit = zoo()[name]
    (tmp_path / "set").mkdir()
    with suppress(SystemExit):  # it ends with 1 where there are errors
        run(CheckConfig(data=exhibit.draw(tmp_path / "set"), out=tmp_path / "out"))
    findings = pd.read_csv(next((tmp_path / "out").rglob("findings.csv")))
    assert set(outcome_of(name).findings) <= set(findings.loc[findings["image_id"] == exhibit.odd, "kind"])


@pytest.mark.parametrize("name", OF_SETS)
def test_a_set_that_is_none_is_refused_in_a_sentence(name: str, tmp_path: Path) -> None:
    exhibit = zoo()[name]
    (tmp_path / "set").mkdir()
    place = exhibit.draw(tmp_path / "set")
    with pytest.raises(UserError) as refusal:
        refuse_problems(read_manifest(place, reading_of(exhibit)), masks=True)
    assert_said(name, str(refusal.value))


@pytest.mark.parametrize("name", OF_ROWS)
def test_a_file_that_cannot_be_used_is_refused_in_a_sentence(name: str, opened: Open) -> None:
    manifest = opened(name)
    row = manifest.table.set_index("image_id").loc[zoo()[name].odd]
    assert row["fault"] == REFUSED[name].kind
    assert_said(name, str(row["problem"]))
    with pytest.raises(UserError, match=re.escape(zoo()[name].odd)):
        refuse_problems(manifest, masks=True)


def assert_said(name: str, sentence: str) -> None:
    assert "\n" not in sentence
    for pattern in REFUSED[name].sentence:
        assert re.search(pattern, sentence), (pattern, sentence)


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_mask_keeps_nobody_from_pretraining(name: str, tmp_path: Path) -> None:
    exhibit = zoo()[name]
    (tmp_path / "set").mkdir()
    place = exhibit.draw(tmp_path / "set")
    if REFUSED[name].masks_only:
        refuse_problems(read_manifest(place, reading_of(exhibit)), masks=False)
    else:
        with pytest.raises(UserError):
            refuse_problems(read_manifest(place, reading_of(exhibit)), masks=False)


def test_there_is_enough_to_see() -> None:
    assert len(zoo()) == len(draw_zoo()) >= 150


def test_the_zoo_is_drawn_alike_every_time() -> None:
    again = draw_zoo()
    assert [exhibit.files for exhibit in again] == [exhibit.files for exhibit in zoo().values()]


def test_what_a_prediction_takes_is_there() -> None:
    for exhibit in zoo().values():
        assert set(exhibit.predicted or ()) <= set(exhibit.files)


@pytest.mark.parametrize("name", [name for name in READ if zoo()[name].pair])
def test_other_programs_read_the_odd_pairs_so_too(name: str) -> None:
    exhibit, outcome = zoo()[name], outcome_of(name)
    assert exhibit.pair is not None
    picture, mask = (exhibit.files[path] for path in exhibit.pair)
    assert np.abs(reread(picture).astype(int) - outcome.pixels[exhibit.odd]).max() <= outcome.near
    labels, lesion = read_labels(mask), outcome.lesions[exhibit.odd]
    assert {*map(tuple, labels[lesion].tolist())}.isdisjoint(map(tuple, labels[~lesion].tolist()))


def test_all_odd_pairs_make_one_set(tmp_path: Path) -> None:
    joined = gather_pairs(tuple(zoo().values()), tmp_path)
    manifest = read_manifest(tmp_path)
    refuse_problems(manifest, masks=True)
    assert sorted(manifest.table["image_id"]) == sorted(map(gathered_id, joined))
