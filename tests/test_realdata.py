"""Photographs of ISIC 2018 and HAM10000, where they lie beside the checkout; they are never committed."""

from pathlib import Path

import pytest

from dermssl.manifest import read_manifest, refuse_problems
from dermssl.official import split_of
from dermssl.split_config import SplitConfig

DATA = Path(__file__).parents[2] / "shared" / "data"

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not DATA.is_dir(), reason="the photographs of ../shared/data are not here"),
]


@pytest.fixture(autouse=True)
def kept_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERMSSL_CACHE", str(tmp_path))


def test_every_isic_2018_image_has_its_mask_and_none_has_a_problem() -> None:
    manifest = read_manifest(DATA / "isic2018")
    refuse_problems(manifest, masks=True)
    assert len(manifest) == 2594
    assert manifest.table["mask_area"].between(0.001, 1).all()


def test_photographs_of_a_ham10000_lesion_stay_on_one_side_of_the_split() -> None:
    manifest = read_manifest(DATA / "ham10000" / "images")
    split = split_of(manifest, SplitConfig())
    lesion_of = dict(zip(manifest.table["image_id"], manifest.table["lesion_id"], strict=True))
    assert len(manifest) == 7993
    assert split.grouped_by == "lesion, near-duplicate"
    assert not {lesion_of[image] for image in split.train} & {lesion_of[image] for image in split.val}
    assert set(manifest.table["label"]) == {"akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"}
