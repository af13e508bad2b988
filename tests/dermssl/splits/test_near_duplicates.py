"""Near-duplicates: copies that are planted among drawn lesions are found, whatever was done to them, and no others."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from dermssl.data.kept import kept_folder
from dermssl.data.manifest import Manifest, read_manifest
from dermssl.errors import UserError
from dermssl.splits import near_duplicates
from dermssl.splits.fingerprints import TURNS
from dermssl.splits.near_duplicates import ALIGNED, LIKENESS, aligned_correlations, confirm, grey_square, near_pairs
from dermssl.synthetic.dataset import draw_image

pytestmark = pytest.mark.usefixtures("apart")

Pixels = NDArray[np.uint8]

STRANGERS = [index for index in range(22) if index % 8 != 7]  # the eighth would show the lesion before it again


def drawn(index: int) -> Pixels:
    """A lesion in OpenCV's order of colours."""
    return cv2.cvtColor(draw_image(3, index, 144).image, cv2.COLOR_RGB2BGR)


def as_it_is(pixels: Pixels) -> Pixels:
    return pixels


def resized(pixels: Pixels) -> Pixels:
    return cv2.resize(pixels, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)


def tinted_and_brightened(pixels: Pixels) -> Pixels:
    return (pixels * np.array([0.8, 0.95, 1.05]) + 14).clip(0, 255).astype(np.uint8)


def mirrored(pixels: Pixels) -> Pixels:
    return cv2.flip(pixels, 1)


def quarter_turned(pixels: Pixels) -> Pixels:
    return cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE)


def turned_back_and_overturned(pixels: Pixels) -> Pixels:
    return cv2.flip(cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE), 0)


def cropped(pixels: Pixels) -> Pixels:
    rim = round(0.02 * len(pixels))
    return pixels[rim:-rim, rim:-rim]


CHANGES: list[Callable[[Pixels], Pixels]] = [
    as_it_is, resized, tinted_and_brightened, mirrored, quarter_turned, turned_back_and_overturned, cropped,
]  # fmt: skip


def written(path: Path, pixels: Pixels, quality: int = 92) -> None:
    cv2.imwrite(str(path), pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Twenty lesions; of seven a changed copy, of one two copies of the file and another that is recompressed."""
    root = tmp_path_factory.mktemp("set")
    for number, index in enumerate(STRANGERS):
        pixels = drawn(index)
        written(root / f"lesion_{number:02d}.jpg", pixels)
        if number < len(CHANGES):
            change = CHANGES[number]
            written(root / f"lesion_{number:02d}_{change.__name__}.jpg", change(pixels), quality=60)
    for name in ("lesion_10_again", "lesion_10_more"):
        (root / f"{name}.jpg").write_bytes((root / "lesion_10.jpg").read_bytes())
    written(root / "lesion_10_recompressed.jpg", drawn(STRANGERS[10]), quality=50)
    (root / "truncated.jpg").write_bytes((root / "lesion_11.jpg").read_bytes()[:900])
    (root / "truncated_as_well.jpg").write_bytes((root / "lesion_12.jpg").read_bytes()[:900])
    return read_manifest(root)


@pytest.fixture(scope="module")
def found(planted: Manifest, apart: None) -> pd.DataFrame:
    return near_pairs(planted)


@pytest.mark.parametrize("number", range(len(CHANGES)), ids=[change.__name__ for change in CHANGES])
def test_a_changed_copy_is_found(number: int, found: pd.DataFrame) -> None:
    pair = found[found["image_a"] == f"lesion_{number:02d}"]
    assert pair["image_b"].tolist() == [f"lesion_{number:02d}_{CHANGES[number].__name__}"]


def test_copies_of_a_file_and_what_is_like_it_are_paired_with_the_first_only(found: pd.DataFrame) -> None:
    pairs = found[found["image_a"].str.startswith("lesion_10")]
    assert sorted(zip(pairs["image_a"], pairs["image_b"], strict=True)) == [
        ("lesion_10", "lesion_10_again"), ("lesion_10", "lesion_10_more"), ("lesion_10", "lesion_10_recompressed"),
    ]  # fmt: skip


def test_there_are_no_other_pairs(found: pd.DataFrame) -> None:
    assert len(found) == len(CHANGES) + 3
    assert (found["image_a"].str[:9] == found["image_b"].str[:9]).all()


def test_each_pair_says_how_near_it_is(found: pd.DataFrame) -> None:
    same = found["image_b"].isin(["lesion_10_again", "lesion_10_more"])
    assert list(found.columns) == ["image_a", "image_b", "distance", "similarity"]
    assert found.loc[same, ["distance", "similarity"]].values.tolist() == [[0, 1], [0, 1]]
    assert found.loc[~same, "similarity"].between(LIKENESS, 1.01).all()
    assert found["distance"].between(0, 80).all()


def refuse(*_: object) -> None:
    raise AssertionError("searched again")


def test_pairs_are_kept_beside_the_manifest_and_not_searched_for_again(
    planted: Manifest, found: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near_duplicates, "look_alikes", refuse)
    pd.testing.assert_frame_equal(near_pairs(planted), found)
    assert len(list(kept_folder(planted.root).glob("near-*.parquet"))) == 1


@pytest.mark.parametrize(
    ("column", "entry"), [("sha256", "0" * 64), ("image_id", "renamed")], ids=["another file", "another name"]
)
def test_another_file_or_name_is_searched_for_anew(
    column: str, entry: str, planted: Manifest, found: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = planted.table.copy()
    changed.loc[0, column] = entry
    monkeypatch.setattr(near_duplicates, "look_alikes", refuse)
    with pytest.raises(AssertionError, match="searched again"):
        near_pairs(Manifest(planted.root, changed, ()))


def test_a_set_without_near_duplicates_has_no_pairs_and_keeps_that(tmp_path: Path) -> None:
    for number, index in enumerate(STRANGERS[:3]):
        written(tmp_path / f"{number}.png", drawn(index))
    manifest = read_manifest(tmp_path)
    assert near_pairs(manifest).empty
    assert near_pairs(manifest).columns.tolist() == ["image_a", "image_b", "distance", "similarity"]


@pytest.mark.parametrize(("whole", "part"), [("a", "b"), ("b", "a")])
def test_a_cropped_copy_is_found_whichever_of_the_two_comes_first(whole: str, part: str, tmp_path: Path) -> None:
    written(tmp_path / f"{whole}.png", drawn(1))
    written(tmp_path / f"{part}.png", drawn(1)[6:-2, 3:-5])
    assert near_pairs(read_manifest(tmp_path))[["image_a", "image_b"]].values.tolist() == [["a", "b"]]


def test_a_set_of_unreadable_files_has_no_pairs(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(b"junk")
    assert near_pairs(read_manifest(tmp_path)).empty


def test_blank_pictures_are_no_near_duplicates_of_one_another(tmp_path: Path) -> None:
    for grey in (120, 180):
        written(tmp_path / f"{grey}.png", np.full((64, 64, 3), grey, np.uint8))
    assert near_pairs(read_manifest(tmp_path)).empty


@pytest.mark.parametrize("number", range(8))
def test_a_view_is_turned_as_its_looks_are(number: int, tmp_path: Path) -> None:
    written(tmp_path / "lesion.png", drawn(1))
    upright = grey_square((tmp_path / "lesion.png", 0))
    transposed, left_right, upside_down = TURNS[number]
    expected = upright.T if transposed else upright
    expected = expected[:, ::-1] if left_right else expected
    expected = expected[::-1] if upside_down else expected
    assert (grey_square((tmp_path / "lesion.png", number)) == expected).all()


def test_look_alikes_are_confirmed_in_the_turn_that_they_are_given(tmp_path: Path) -> None:
    written(tmp_path / "a.png", drawn(1))
    written(tmp_path / "b.png", drawn(1).transpose(1, 0, 2))
    pairs = pd.DataFrame({"a": [0] * 8, "b": [0] * 8, "turn": range(8), "distance": [0] * 8})
    kept = confirm(pairs, [tmp_path / "a.png"], [tmp_path / "b.png"])
    assert kept["turn"].tolist() == [TURNS.index((True, False, False))]
    assert kept["similarity"].tolist() == pytest.approx([1], abs=0.01)


def test_pictures_that_lie_on_one_another_are_no_duplicates_where_their_features_differ(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, index in (("a", 1), ("b", 2)):
        written(tmp_path / f"{name}.png", drawn(index))
    files = [tmp_path / "a.png", tmp_path / "b.png"]
    monkeypatch.setattr(near_duplicates, "aligned_correlation", lambda *_: 1.0)
    pairs = pd.DataFrame({"a": [0, 0], "b": [0, 1], "turn": [0, 0], "distance": [0, 0]})
    assert confirm(pairs, files, files)["b"].tolist() == [0]


def test_a_file_that_has_gone_since_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.jpg: cannot be read: No such file or directory; replace or remove it"):
        aligned_correlations([(tmp_path / "gone.jpg", 0)], [(tmp_path / "gone.jpg", 0)])


def test_the_alignment_of_views_tells_a_copy_from_a_stranger(planted: Manifest) -> None:
    a, copy, stranger = ((planted.root / f"{name}.jpg", 0) for name in ("lesion_01", "lesion_01_resized", "lesion_02"))
    of_copy, of_stranger = aligned_correlations([a, a], [copy, stranger])
    assert of_copy > ALIGNED > of_stranger


def test_a_picture_of_many_pairs_is_read_once(planted: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[near_duplicates.TurnedFile] = []

    def seeing(view: near_duplicates.TurnedFile) -> Pixels:
        read.append(view)
        return grey_square(view)

    monkeypatch.setattr(near_duplicates, "grey_square", seeing)
    monkeypatch.setattr(
        near_duplicates, "usable_cores", lambda: 1
    )  # of several threads each may be the first to miss it
    a, *others = ((planted.root / f"lesion_{number:02d}.jpg", 0) for number in range(6))
    aligned_correlations([a] * 5 + others[:1], [*others, a])
    assert sorted(read) == sorted([a, *others])
