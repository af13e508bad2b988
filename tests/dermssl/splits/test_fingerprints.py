"""Pictures that look alike: what is kept of a picture tells how it looks turned and mirrored, and no pair is lost."""

import cv2
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from dermssl.data.images import perceptual_hash, tones
from dermssl.splits import fingerprints
from dermssl.splits.fingerprints import (
    RADIUS,
    TONES,
    TURNS,
    Looks,
    Turn,
    look_alikes,
    looks_of,
    tone_correlations,
    turned_looks,
)

Picture = NDArray[np.uint8]

NUMBERS = range(8)


def picture(seed: int, size: tuple[int, int] = (160, 160)) -> Picture:
    """Smooth grey clouds."""
    noise = np.random.default_rng(seed).normal(0, 1, size)
    clouds = cv2.GaussianBlur(noise, (0, 0), 12)
    return (128 + 40 * clouds / clouds.std()).clip(0, 255).astype(np.uint8)


def seen_turned(pixels: Picture, turn: Turn) -> Picture:
    transposed, mirrored, overturned = turn
    pixels = pixels.T if transposed else pixels
    pixels = pixels[:, ::-1] if mirrored else pixels
    return np.ascontiguousarray(pixels[::-1] if overturned else pixels)


def table_of(pictures: list[Picture]) -> pd.DataFrame:
    return pd.DataFrame({"phash": list(map(perceptual_hash, pictures)), "tones": list(map(tones, pictures))})


def kept_of(*pictures: Picture) -> Looks:
    return looks_of(table_of(list(pictures)))


def chosen(looks: Looks, rows: NDArray[np.int64]) -> Looks:
    return Looks(looks.hashes[rows], looks.tones[rows])


def bits_apart(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> int:
    return int(np.bitwise_count(a ^ b).sum())


def flipped(look: Looks, bits: int, rng: np.random.Generator) -> Looks:
    """One look with so many bits of its hash flipped."""
    flips = np.zeros(256, np.uint8)
    flips[rng.permutation(256)[:bits]] = 1
    return Looks(look.hashes ^ np.packbits(flips), look.tones)


def together(parts: list[Looks]) -> Looks:
    return Looks(np.concatenate([p.hashes for p in parts]), np.concatenate([p.tones for p in parts]))


def strangers(count: int, rng: np.random.Generator) -> Looks:
    shapes = (count, 32), (count, 8, 8)
    return Looks(*(rng.integers(0, 256, shape, dtype=np.uint8) for shape in shapes))


def family(rng: np.random.Generator) -> Looks:
    """Sixty looks: some are others turned, with up to 100 bits flipped and tones that agree more or less."""
    first = strangers(12, rng)
    parts = [first]
    for number in range(48):
        copy = turned_looks(chosen(first, np.array([number % 12])), TURNS[rng.integers(8)])
        noise = rng.normal(0, rng.choice([0, 20, 35, 50]), copy.tones.shape)
        tinted = Looks(copy.hashes, (copy.tones * 0.5 + 64 + noise * 0.5).clip(0, 255).astype(np.uint8))
        parts.append(flipped(tinted, int(rng.integers(0, 101)), rng))
    return together(parts)


def alike_by_double_loop(a: Looks, b: Looks) -> list[tuple[int, int, int, int]]:
    """Rows of either, turn and distance of every pair, in the order of the rows."""
    found = []
    for i in range(len(a)):
        for j in range(len(b)):
            candidates = []
            for number, turn in enumerate(TURNS):
                other = turned_looks(chosen(b, np.array([j])), turn)
                distance = bits_apart(a.hashes[i], other.hashes[0])
                agreement = np.corrcoef(a.tones[i].ravel(), other.tones[0].ravel())[0, 1]
                if distance <= RADIUS and agreement >= TONES:
                    candidates.append((distance, number))
            if candidates:
                distance, number = min(candidates)
                found.append((i, j, number, distance))
    return found


def rows_of(pairs: pd.DataFrame) -> list[tuple[int, ...]]:
    return list(pairs[["a", "b", "turn", "distance"]].itertuples(index=False, name=None))


def test_there_are_eight_turns_and_the_first_leaves_a_picture_as_it_is() -> None:
    assert len(set(TURNS)) == 8
    assert TURNS[0] == (False, False, False)


@pytest.mark.parametrize("turn", TURNS, ids=str)
@pytest.mark.parametrize("size", [(160, 160), (97, 150)], ids=["square", "oblong"])
def test_the_looks_of_a_turned_picture_follow_from_those_of_the_picture(size: tuple[int, int], turn: Turn) -> None:
    pictures = [picture(seed, size) for seed in range(5)]
    told = turned_looks(kept_of(*pictures), turn)
    seen = kept_of(*(seen_turned(pixels, turn) for pixels in pictures))
    apart = [bits_apart(a, b) for a, b in zip(told.hashes, seen.hashes, strict=True)]
    assert max(apart) <= 8  # waves so faint that rounding settles their sign
    assert np.abs(told.tones.astype(int) - seen.tones).max() <= 1


def test_what_is_kept_reads_back_row_by_row() -> None:
    pictures = [picture(seed) for seed in range(3)]
    whole = kept_of(*pictures)
    assert len(whole) == 3
    assert (chosen(whole, np.array([2])).hashes == kept_of(pictures[2]).hashes).all()
    assert (whole.tones[1] == cv2.resize(pictures[1], (8, 8), interpolation=cv2.INTER_AREA)).all()


@pytest.mark.parametrize("number", NUMBERS)
def test_a_planted_copy_is_found_in_its_turn(number: int) -> None:
    pictures = [picture(seed) for seed in range(10)]
    pairs = look_alikes(kept_of(seen_turned(pictures[7], TURNS[number])), kept_of(*pictures))
    assert pairs[["a", "b", "turn"]].values.tolist() == [[0, 7, number]]
    assert pairs["distance"][0] <= 8


@pytest.mark.parametrize("seed", [0, 1])
def test_pairs_are_those_of_comparing_all_with_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    everyone, some = family(rng), family(np.random.default_rng(seed))
    some = chosen(some, rng.permutation(60)[:25])
    expected = alike_by_double_loop(everyone, some)
    assert len(expected) > 40
    assert rows_of(look_alikes(everyone, some)) == expected


def test_how_many_are_asked_about_at_once_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    everyone = family(np.random.default_rng(0))
    at_once = look_alikes(everyone, everyone)
    monkeypatch.setattr(fingerprints, "BLOCK", 7)
    pd.testing.assert_frame_equal(look_alikes(everyone, everyone), at_once)


@pytest.mark.parametrize("number", NUMBERS)
def test_the_radius_is_the_last_distance_that_counts(number: int) -> None:
    rng = np.random.default_rng(0)
    one = strangers(1, rng)
    copies = together([flipped(turned_looks(one, TURNS[number]), RADIUS + more, rng) for more in (-1, 0, 1)])
    assert sorted(look_alikes(one, copies)["distance"]) == [RADIUS - 1, RADIUS]


def test_strangers_are_not_alike() -> None:
    a, b = (strangers(300, np.random.default_rng(seed)) for seed in (0, 1))
    assert look_alikes(a, b).empty


def test_equal_waves_of_other_tones_are_not_alike() -> None:
    one = strangers(1, np.random.default_rng(0))
    assert look_alikes(one, Looks(one.hashes, 255 - one.tones)).empty


@pytest.mark.parametrize(("a", "b"), [(0, 3), (3, 0), (0, 0)])
def test_nothing_is_like_no_pictures(a: int, b: int) -> None:
    rng = np.random.default_rng(0)
    assert rows_of(look_alikes(strangers(a, rng), strangers(b, rng))) == []


def test_a_picture_that_could_not_be_read_is_like_no_other() -> None:
    flat = np.full((40, 40), 120, np.uint8)
    table = table_of([picture(0), flat])
    unread = pd.DataFrame({"phash": ["", ""], "tones": ["", ""]})
    kept = looks_of(pd.concat([table, unread], ignore_index=True))
    pairs = look_alikes(kept, kept)
    assert not set(pairs["a"]) & {2, 3}
    assert not set(pairs["b"]) & {2, 3}


def test_tones_are_compared_whatever_the_brightness_and_contrast() -> None:
    a = np.arange(128, dtype=np.uint8).reshape(2, 8, 8)
    assert tone_correlations(a, a // 2 + 30) == pytest.approx([1, 1], abs=1e-3)
    assert tone_correlations(a, a[:, ::-1, ::-1]) == pytest.approx([-1, -1])


def test_a_picture_of_one_tone_is_like_none() -> None:
    flat, other = np.full((1, 8, 8), 7, np.uint8), np.arange(64, dtype=np.uint8).reshape(1, 8, 8)
    assert tone_correlations(flat, other).tolist() == [0.0]
