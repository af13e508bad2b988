"""Each kind of finding, from one planted fault."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from dermssl.appearance.covariates import THRESHOLDS
from dermssl.check.findings import KINDS, RULES, findings_of, read_sides
from dermssl.data.manifest import Manifest, read_manifest
from dermssl.errors import UserError

Draw = Callable[..., Path]

pytestmark = pytest.mark.usefixtures("workplace")

NO_PAIRS = pd.DataFrame({"image_a": [], "image_b": [], "distance": [], "similarity": []})
ONE, TWO = "ISIC_0000001", "ISIC_0000002"


@pytest.fixture(scope="module")
def clean(draw_isic: Draw, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    home = tmp_path_factory.mktemp("findings")
    return read_manifest(draw_isic(home / "isic", 4, size=(96, 128)), keep_in=home)


def with_values(manifest: Manifest, image_id: str = ONE, **values: object) -> Manifest:
    table = manifest.table.copy()
    for column, value in values.items():
        table.loc[table["image_id"] == image_id, column] = value
    return replace(manifest, table=table)


def pair(a: str, b: str) -> pd.DataFrame:
    return pd.DataFrame({"image_a": [a], "image_b": [b], "distance": [4], "similarity": [0.9]})


def found_in(
    manifest: Manifest, pairs: pd.DataFrame = NO_PAIRS, split: dict[str, str] | None = None, **scores: float
) -> pd.DataFrame:
    table = pd.DataFrame({name: scores.get(name.split()[0], 0.0) for name in THRESHOLDS}, index=range(len(manifest)))
    return findings_of(manifest, pairs, table, split)


def kinds_of(findings: pd.DataFrame) -> list[str]:
    return list(zip(findings["kind"], findings["image_id"], strict=True))


def test_a_clean_set_has_no_error_and_no_warning(clean: Manifest) -> None:
    assert set(found_in(clean)["severity"]) <= {"note"}


@pytest.mark.parametrize(
    ("kind", "values", "said"),
    [
        ("unreadable", {"fault": "unreadable", "problem": "not a picture"}, "not a picture"),
        ("truncated", {"fault": "truncated", "problem": "12 bytes missing"}, "12 bytes missing"),
        ("mask unreadable", {"fault": "mask unreadable", "problem": "not a picture"}, "not a picture"),
        ("mask size", {"fault": "mask size", "problem": "mask is 1 x 1"}, "mask is 1 x 1"),
        ("mask transposed", {"fault": "mask transposed", "problem": "turned"}, "turned"),
        ("mask values", {"fault": "mask values", "problem": "has {3} values"}, "has {3} values"),
        ("lost rows", {"lost_rows": 0.4}, "the last 40% of its rows repeat one"),
        ("wrong mode", {"mode": "CMYK"}, "image is CMYK"),
        ("wrong mode", {"mask_mode": "RGBA"}, "mask is RGBA"),
        ("EXIF-rotated", {"orientation": 6}, "EXIF orientation 6"),
        ("tiny", {"width": 63}, "63 x 96 pixels"),
        ("empty mask", {"mask_area": 0.0}, "no lesion pixel"),
        ("full mask", {"mask_area": 0.99}, "lesion is 99.0% of the picture"),
        ("several regions", {"mask_components": 3}, "3 regions"),
        ("holes", {"mask_holes": 2}, "holes in the mask: 2"),
        ("mask at the border", {"mask_border": 0.25}, "25% of the frame is lesion"),
        ("image without mask", {"mask_path": "", "mask_mode": ""}, "no mask has the image's name"),
    ],
)
def test_a_planted_fault_is_the_one_finding(kind: str, values: dict[str, object], said: str, clean: Manifest) -> None:
    findings = found_in(with_values(clean, **values))
    assert findings[["kind", "severity", "image_id", "detail"]].values.tolist() == [
        [kind, KINDS[kind].severity, ONE, said]
    ]


def test_every_rule_is_of_a_kind_that_is_explained() -> None:
    assert {rule.kind for rule in RULES} <= set(KINDS)


def test_an_image_of_64_pixels_is_not_tiny(clean: Manifest) -> None:
    assert found_in(with_values(clean, width=64)).empty


def test_an_image_that_cannot_be_read_is_not_tiny_as_well(clean: Manifest) -> None:
    broken = with_values(clean, width=0, height=0, mode="", mask_mode="", sha256="", fault="unreadable")
    assert list(found_in(broken)["kind"]) == ["unreadable"]


def test_a_set_without_masks_lacks_none(clean: Manifest) -> None:
    bare = replace(clean, table=clean.table.assign(mask_path=""))
    assert found_in(bare).empty


def test_a_mask_without_an_image_is_named_by_its_file(clean: Manifest) -> None:
    findings = found_in(replace(clean, orphans=("masks/x_segmentation.png",)))
    assert findings[["kind", "image_id", "path"]].values.tolist() == [
        ["mask without image", "x", "masks/x_segmentation.png"]
    ]


def test_equal_bytes_are_told_of_every_file_and_not_as_near_duplicates(clean: Manifest) -> None:
    twice = with_values(clean, TWO, sha256=clean.table.set_index("image_id").at[ONE, "sha256"])
    findings = found_in(twice, pair(ONE, TWO))
    assert kinds_of(findings) == [("duplicate bytes", ONE), ("duplicate bytes", TWO)]
    assert list(findings["beside"]) == [ONE, ONE]


def test_files_that_cannot_be_read_are_no_duplicates(clean: Manifest) -> None:
    broken = with_values(with_values(clean, ONE, sha256=""), TWO, sha256="")
    assert found_in(broken).empty


def test_a_pair_that_looks_alike_is_told_of_both(clean: Manifest) -> None:
    findings = found_in(clean, pair(ONE, TWO))
    assert kinds_of(findings) == [("near-duplicate", ONE), ("near-duplicate", TWO)]
    assert list(findings["detail"]) == [f"with {TWO}: similarity 0.90", f"with {ONE}: similarity 0.90"]


@pytest.mark.parametrize("link", ["lesion", "bytes", "looks"])
def test_what_links_two_images_must_not_cross_a_split(link: str, clean: Manifest) -> None:
    linked, pairs = clean, NO_PAIRS
    if link == "lesion":
        linked = with_values(with_values(clean, ONE, lesion_id="x"), TWO, lesion_id="x")
    elif link == "bytes":
        linked = with_values(with_values(clean, ONE, sha256="x"), TWO, sha256="x")
    else:
        pairs = pair(ONE, TWO)
    findings = found_in(linked, pairs, {ONE: "train", TWO: "val"})
    crossing = findings[findings["kind"] == "lesion across split"]
    assert list(crossing["detail"]) == [f"in train; {TWO} is in val", f"in val; {ONE} is in train"]


def test_a_lesion_on_one_side_of_a_split_is_fine(clean: Manifest) -> None:
    linked = with_values(with_values(clean, ONE, lesion_id="x"), TWO, lesion_id="x")
    assert found_in(linked, split={ONE: "val", TWO: "val"}).empty


def test_a_lesion_in_two_official_parts_is_worth_a_warning(clean: Manifest) -> None:
    linked = with_values(with_values(clean, ONE, lesion_id="x"), TWO, lesion_id="x", part="test")
    assert set(found_in(linked)["kind"]) == {"lesion across parts"}


def test_scores_from_the_threshold_on_are_findings(clean: Manifest) -> None:
    findings = found_in(clean, ruler=0.5, sticker=float("nan"))
    assert list(findings["kind"]) == ["ruler"] * 4
    assert set(findings["detail"]) == {"score 0.50"}


def test_a_split_file_gives_the_side_of_each_image(clean: Manifest, tmp_path: Path) -> None:
    (tmp_path / "split.json").write_text(json.dumps({"train": [ONE], "val": [TWO], "seed": 0}))
    assert read_sides(tmp_path / "split.json", clean) == {ONE: "train", TWO: "val"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "no such file; give a split file"),
        ("{", "no JSON"),
        ("[]", "has no list of image ids under train and val"),
        ('{"train": ["a"]}', "has no list of image ids under val"),
        ('{"train": ["a"], "val": ["b"]}', "none of its ids is an image of"),
    ],
)
def test_what_is_no_split_of_this_set_is_refused(text: str | None, said: str, clean: Manifest, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "split.json").write_text(text)
    with pytest.raises(UserError, match=said):
        read_sides(tmp_path / "split.json", clean)
