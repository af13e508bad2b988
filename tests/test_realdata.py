"""Photographs of ISIC 2018 and HAM10000, where they lie beside the checkout; they are never committed."""

from pathlib import Path

import pytest

from dermssl.data.manifest import read_manifest, refuse_problems
from dermssl.splits.config import SplitConfig
from dermssl.splits.leaks import leaking_pairs
from dermssl.splits.near_duplicates import near_pairs
from dermssl.splits.official import split_of

DATA = Path(__file__).parents[2] / "shared" / "data"

CONFIRMED = """
00157 14946 00162 14826 00164 14795 00165 14788 00171 15124 00173 15110 00177 14657 00179 14765 00182 15395
00183 15311 00184 15310 00185 15155 00186 14698 00189 15161 00191 14907 00193 15436 00201 15023 00204 14748
00205 14742 00206 14739 00209 15016 00212 14927 00215 15313 00218 15241 00222 14846 00224 14791 00225 14778
00226 14949 00227 15034 00228 14964 00229 14771 00231 15146 00519 11295 12222 16003 12290 13594 12672 12673
12756 13184 12887 12989 13109 13163 15102 15353 15945 15946 15986 15987
"""  # pairs of ISIC 2018 that show one lesion, by eye: the last digits of their numbers

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not DATA.is_dir(), reason="the photographs of ../shared/data are not here"),
]


@pytest.fixture(autouse=True)
def kept_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERMSSL_CACHE", str(tmp_path))


@pytest.mark.slow
def test_every_isic_2018_image_has_its_mask_and_none_has_a_problem() -> None:
    manifest = read_manifest(DATA / "isic2018")
    refuse_problems(manifest, masks=True)
    assert len(manifest) == 2594
    assert manifest.table["mask_area"].between(0.001, 1).all()


@pytest.mark.slow
def test_photographs_of_a_ham10000_lesion_stay_on_one_side_of_the_split() -> None:
    manifest = read_manifest(DATA / "ham10000" / "images")
    split = split_of(manifest, SplitConfig())
    lesion_of = dict(zip(manifest.table["image_id"], manifest.table["lesion_id"], strict=True))
    assert len(manifest) == 7993
    assert split.grouped_by == "lesion, near-duplicate"
    assert not {lesion_of[image] for image in split.train} & {lesion_of[image] for image in split.val}
    assert set(manifest.table["label"]) == {"akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"}


@pytest.mark.slow
def test_near_duplicates_of_isic_2018_are_those_that_the_eye_confirmed() -> None:
    pairs = near_pairs(read_manifest(DATA / "isic2018"))
    found = set(zip(pairs["image_a"].str[-5:], pairs["image_b"].str[-5:], strict=True))
    confirmed = set(zip(*[iter(CONFIRMED.split())] * 2, strict=True))
    assert len(found & confirmed) >= 30
    assert len(found - confirmed) <= 0.15 * len(found)


@pytest.mark.slow
def test_no_image_of_ham10000_leaks_into_isic_2018() -> None:
    pool, held = read_manifest(DATA / "ham10000" / "images"), read_manifest(DATA / "isic2018")
    assert leaking_pairs(pool.table, pool.root, held).empty
