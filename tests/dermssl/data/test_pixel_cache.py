"""The pixel cache: what it gives equals reading the file, it is built once, and never found half built."""

import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from dermssl.data import pixel_cache
from dermssl.data.decoding import reduction
from dermssl.data.images import read_rgb, shrink
from dermssl.data.kept import kept_folder
from dermssl.data.manifest import Manifest, read_manifest
from dermssl.data.masks import read_lesion
from dermssl.data.pixel_cache import PixelCache, build, cached_images, cached_masks
from dermssl.errors import UserError
from dermssl.parts import machine

Draw = Callable[..., Path]
SIZES = [(48, 64), (64, 48), (20, 90), (40, 40), (7, 200), (33, 35)]

pytestmark = pytest.mark.usefixtures("workplace")


@pytest.fixture
def photographs(tmp_path: Path) -> Manifest:
    """Images with masks, each of another size."""
    rng = np.random.default_rng(0)
    for part in ("images", "masks"):
        (tmp_path / "set" / part).mkdir(parents=True)
    for index, size in enumerate(SIZES):
        cv2.imwrite(str(tmp_path / "set" / "images" / f"{index}.png"), rng.integers(0, 256, (*size, 3), dtype=np.uint8))
        cv2.imwrite(str(tmp_path / "set" / "masks" / f"{index}.png"), rng.integers(0, 2, size, dtype=np.uint8) * 255)
    return read_manifest(tmp_path / "set")


def never(_: int) -> NDArray[np.uint8]:
    raise AssertionError("a cache that stands was built again")


def folders(manifest: Manifest) -> list[str]:
    return sorted(path.name for path in kept_folder(manifest.root).iterdir() if path.is_dir())


def opened(folder: Path) -> PixelCache:
    pixels = np.memmap(folder / "pixels.u8", np.uint8, mode="r")
    return PixelCache(pixels, np.load(folder / "starts.npy"), np.load(folder / "shapes.npy"))


@pytest.mark.parametrize("side", [16, 32, 500])
def test_an_image_equals_the_file_read_and_shrunk(side: int, photographs: Manifest) -> None:
    pixels = cached_images(photographs, side)
    assert len(pixels) == len(SIZES)
    for index, path in enumerate(photographs.paths()):
        assert np.array_equal(pixels[index], shrink(read_rgb(path), side))


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_large_picture_is_reduced_while_it_is_decoded_and_looks_the_same(suffix: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(size=(400, 600, 3))
    smooth = cv2.GaussianBlur(noise, (0, 0), 8) * 800 + 128
    cv2.imwrite(str(tmp_path / f"a{suffix}"), smooth.clip(0, 255).astype(np.uint8))
    assert reduction(400, 64) == 2
    whole = shrink(read_rgb(tmp_path / f"a{suffix}"), 64)
    reduced = read_rgb(tmp_path / f"a{suffix}", 64)
    assert reduced.shape == whole.shape
    assert np.abs(reduced.astype(int) - whole).mean() < 2


@pytest.mark.parametrize("side", [8, 32, 500])
def test_a_mask_has_the_size_of_its_image_and_is_lesion_where_more_than_half_was(
    side: int, photographs: Manifest
) -> None:
    images, masks = cached_images(photographs, side), cached_masks(photographs, side)
    for index, path in enumerate(photographs.paths("mask_path")):
        share = shrink(read_lesion(path).astype(np.uint8) * 255, side)
        assert masks[index].shape == images[index].shape[:2]
        assert np.array_equal(masks[index], share >= 128)


def test_a_picture_is_never_enlarged(photographs: Manifest) -> None:
    pixels = cached_images(photographs, 500)
    assert [pixels[i].shape[:2] for i in range(len(SIZES))] == SIZES


def test_the_cache_follows_the_order_of_the_manifest(photographs: Manifest) -> None:
    whole = cached_images(photographs, 32)
    for order in (["4", "1"], ["1", "4"]):
        some = cached_images(photographs.take(order), 32)
        assert [np.array_equal(some[i], whole[int(name)]) for i, name in enumerate(order)] == [True, True]


def test_more_pictures_than_a_chunk_keep_their_order(tmp_path: Path) -> None:
    build(tmp_path / "c", 2 * pixel_cache.CHUNK + 3, lambda index: np.full((1, 2, 3), index % 251, np.uint8))
    found = opened(tmp_path / "c")
    assert [int(found[i][0, 0, 0]) for i in range(len(found))] == [i % 251 for i in range(2 * pixel_cache.CHUNK + 3)]


def test_a_second_opening_builds_nothing(photographs: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    first = cached_images(photographs, 32)
    monkeypatch.setattr(pixel_cache, "read_rgb", never)
    assert np.array_equal(cached_images(photographs, 32).pixels, first.pixels)


def test_a_changed_picture_has_another_cache(photographs: Manifest) -> None:
    before = np.array(cached_images(photographs, 32)[0])
    cv2.imwrite(str(photographs.paths()[0]), np.zeros((48, 64, 3), np.uint8))
    after = cached_images(read_manifest(photographs.root), 32)
    assert before.any()
    assert not after[0].any()


def test_each_size_and_kind_has_a_cache_of_its_own(photographs: Manifest) -> None:
    cached_images(photographs, 32)
    cached_images(photographs, 16)
    cached_masks(photographs, 32)
    assert [name.rpartition("-")[0] for name in folders(photographs)] == ["images-16", "images-32", "masks-32"]


def test_two_that_build_at_once_both_succeed(tmp_path: Path) -> None:
    meeting = threading.Barrier(2, timeout=20)

    def building(_: int) -> PixelCache:
        def picture(index: int) -> NDArray[np.uint8]:
            if index == 2:
                meeting.wait()  # both are in the middle of it
            return np.full((2, 2), index, np.uint8)

        build(tmp_path / "kept" / "cache", 5, picture)
        return opened(tmp_path / "kept" / "cache")

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(building, range(2))
    assert [p.name for p in (tmp_path / "kept").iterdir()] == ["cache"]
    assert np.array_equal(first.pixels, second.pixels)
    assert [int(second[i][0, 0]) for i in range(5)] == [0, 1, 2, 3, 4]


def test_a_build_that_breaks_off_leaves_nothing_that_is_taken_for_a_cache(
    photographs: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(
            pixel_cache, "read_rgb", lambda path, reduced: never(0) if path.stem == "3" else read_rgb(path, reduced)
        )
        with pytest.raises(AssertionError):
            cached_images(photographs, 32)
    assert folders(photographs) == []
    assert len(cached_images(photographs, 32)) == len(SIZES)


def test_what_a_kill_leaves_behind_is_not_taken_for_a_cache(photographs: Manifest) -> None:
    cached_images(photographs, 32)
    (name,) = folders(photographs)
    standing = kept_folder(photographs.root) / name
    standing.rename(standing.with_name(f".part-{name}-abc"))
    (standing.with_name(f".part-{name}-abc") / "starts.npy").unlink()
    assert len(cached_images(photographs, 32)) == len(SIZES)


@pytest.mark.parametrize(("kind", "size"), [(cached_images, 3), (cached_masks, 1)])
def test_a_cache_that_does_not_fit_the_disk_is_not_begun(
    kind: Callable[[Manifest, int], PixelCache], size: int, photographs: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = sum(np.prod(np.array(s) * min(1, 32 / min(s))) for s in SIZES) * size
    asked: list[int] = []
    monkeypatch.setattr(pixel_cache, "need_room", lambda *words: asked.append(words[1]))
    kind(photographs, 32)
    assert needed <= asked[0] <= 1.05 * needed

    def refuse(*_: object) -> None:
        raise UserError("too full")

    monkeypatch.setattr(pixel_cache, "need_room", refuse)
    with pytest.raises(UserError, match="too full"):
        kind(photographs, 16)
    assert len(folders(photographs)) == 1


def test_what_a_killed_build_left_is_removed_by_the_next(photographs: Manifest) -> None:
    cached_images(photographs, 32)
    (name,) = folders(photographs)
    place = kept_folder(photographs.root)
    shutil.rmtree(place / name)
    left = place / f".part-{2**30}-{machine()}-{name}-killed"
    left.mkdir()
    (left / "pixels.u8").write_bytes(b"half")
    cached_images(photographs, 32)
    assert [path.name for path in place.iterdir() if path.name.startswith(".part")] == []
