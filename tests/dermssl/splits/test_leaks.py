"""The leak firewall: each way in which a training image can be a held-out one, and what is done about it."""

from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file

from dermssl.data.manifest import Manifest, read_manifest
from dermssl.errors import UserError
from dermssl.splits import leaks
from dermssl.splits.leaks import (
    COLUMNS,
    SEEN_COLUMNS,
    SHOWN,
    SURE,
    WHY,
    Verdict,
    accession,
    guard,
    leaking_pairs,
    seen_rows,
)
from dermssl.synthetic.dataset import draw_image
from dermssl.weights.encoder_file import EncoderCard, write_encoder_file
from dermssl.weights.seen import packed, read_seen

pytestmark = pytest.mark.usefixtures("apart")

Leak = tuple[str, str, str]

CARD = EncoderCard(encoder="resnet18", method="simclr", mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2))
TENSORS = {"weight": torch.ones(3)}


def row(image: str, **entries: str) -> pd.DataFrame:
    """An image of which nothing is known but its name and these."""
    return pd.DataFrame([dict.fromkeys(SEEN_COLUMNS, "") | {"image_id": image, "path": f"{image}.jpg"} | entries])


def known(image: str, **entries: str) -> pd.DataFrame:
    """An image as the manifest has it: a lesion of its own, a file of its own."""
    return row(image, **({"lesion_id": image, "sha256": sha256(image.encode()).hexdigest()} | entries))


def held(*rows: pd.DataFrame, root: str = "held") -> Manifest:
    return Manifest(Path(root), pd.concat(rows, ignore_index=True), ())


def leaks_of(training: pd.DataFrame, manifest: Manifest, root: str | Path = "elsewhere") -> list[Leak]:
    return list(leaking_pairs(training, Path(root), manifest).itertuples(index=False, name=None))


def table_of(pairs: list[Leak]) -> pd.DataFrame:
    return pd.DataFrame(pairs, columns=COLUMNS)


NOTHING = table_of([])
TWO = table_of([("t1", "h1", "same file"), ("t1", "h2", "same lesion"), ("t2", "h2", "same lesion")])


def test_images_that_have_nothing_in_common_do_not_leak() -> None:
    mine, theirs = known("ISIC_0000001", patient_id="IP_0000001"), known("ISIC_0000002", patient_id="IP_0000002")
    assert leaks_of(mine, held(theirs)) == []


def test_the_same_file_leaks_whatever_its_name() -> None:
    digest = "ab" * 32
    assert leaks_of(known("a", sha256=digest), held(known("b", sha256=digest))) == [("a", "b", "same file")]


def test_a_hash_that_an_encoder_file_has_cut_short_is_known_again() -> None:
    digest = "0123456789abcdef" * 4
    assert leaks_of(known("a", sha256=digest[:16]), held(known("b", sha256=digest))) == [("a", "b", "same file")]
    assert leaks_of(known("a", sha256=digest[:15] + "0"), held(known("b", sha256=digest))) == []


def test_unreadable_files_have_no_bytes_in_common() -> None:
    assert leaks_of(known("a", sha256=""), held(known("b", sha256=""))) == []


def test_an_archives_number_leaks_from_one_set_into_another() -> None:
    found = leaks_of(row("ISIC_0000001"), held(row("ISIC_0000001"), row("ISIC_0000002")))
    assert found == [("ISIC_0000001", "ISIC_0000001", "same image id")]


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [("2019/ISIC_0000001", "ISIC_0000001"), ("ISIC_0000001", "a/ISIC_0000001"), ("x/ISIC_0000001", "y/ISIC_0000001")],
)
def test_a_folder_before_the_number_does_not_hide_it(mine: str, theirs: str) -> None:
    assert leaks_of(row(mine), held(row(theirs))) == [(mine, theirs, "same image id")]


@pytest.mark.parametrize("name", ["img_001", "1", "lesion_12", "ISIC_1", "ISIC_010000001", "ISIC_0000001_copy"])
def test_a_name_that_may_be_anybodys_leaks_within_its_own_set_only(name: str) -> None:
    entries = {"lesion_id": name, "patient_id": name}
    assert leaks_of(row(name, **entries), held(row(name, **entries))) == []
    assert leaks_of(row(name), held(row(name)), root="held") == [(name, name, "same image id")]


@pytest.mark.parametrize("lesion", ["HAM_0000118", "IL_4526894"])
def test_a_lesion_of_the_archive_leaks_from_one_set_into_another(lesion: str) -> None:
    assert leaks_of(row("a", lesion_id=lesion), held(row("b", lesion_id=lesion))) == [("a", "b", "same lesion")]


def test_a_lesion_of_a_set_leaks_within_it() -> None:
    mine, theirs = row("a", lesion_id="lesion_1"), row("b", lesion_id="lesion_1")
    assert leaks_of(mine, held(theirs), root="held") == [("a", "b", "same lesion")]
    assert leaks_of(mine, held(theirs)) == []


def test_a_patient_leaks() -> None:
    mine, theirs = row("a", patient_id="IP_7654321"), row("b", patient_id="IP_7654321")
    assert leaks_of(mine, held(theirs)) == [("a", "b", "same patient")]


def test_a_pair_is_told_once_with_its_first_reason() -> None:
    everything = {"sha256": "ab" * 32, "lesion_id": "HAM_0000001", "patient_id": "IP_0000001"}
    found = leaks_of(row("ISIC_0000001", **everything), held(row("ISIC_0000001", **everything)))
    assert found == [("ISIC_0000001", "ISIC_0000001", "same file")]


def test_every_pair_of_a_shared_lesion_is_told() -> None:
    lesion = {"lesion_id": "HAM_0000001"}
    training = pd.concat([row("a", **lesion), row("b", **lesion), row("c")], ignore_index=True)
    found = leaks_of(training, held(row("x", **lesion), row("y", **lesion)))
    assert sorted((mine, theirs) for mine, theirs, _ in found) == [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")]


def test_no_training_images_leak_nowhere() -> None:
    assert leaks_of(row("a").iloc[:0], held(row("a"))) == []


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("ISIC_0000001", True), ("HAM_0000001", True), ("IL_0000001", True), ("IP_0000001", True),
        ("train/ISIC_0000001", True), ("ISIC_000001", False), ("ISIC_010000001", False), ("img_0000001", False),
        ("xISIC_0000001", False), ("ISIC_0000001_downsampled", False), ("", False),
    ],
)  # fmt: skip
def test_an_accession_is_an_archives_prefix_and_seven_digits(name: str, is_one: bool) -> None:
    assert bool(accession(name)) == is_one


def drawn(index: int) -> NDArray[np.uint8]:
    return cv2.cvtColor(draw_image(5, index, 144).image, cv2.COLOR_RGB2BGR)


@pytest.fixture(scope="module")
def held_set(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    root = tmp_path_factory.mktemp("held")
    for index in range(4):
        cv2.imwrite(str(root / f"held_{index}.jpg"), drawn(index))
    return read_manifest(root)


@pytest.fixture(scope="module")
def training_set(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Strangers, and two of the held-out pictures: one smaller, one mirrored and recompressed."""
    root = tmp_path_factory.mktemp("training")
    for index in range(8, 11):
        cv2.imwrite(str(root / f"stranger_{index}.jpg"), drawn(index))
    cv2.imwrite(str(root / "smaller.png"), cv2.resize(drawn(1), (90, 90), interpolation=cv2.INTER_AREA))
    cv2.imwrite(str(root / "turned.jpg"), cv2.flip(drawn(2), 1), [cv2.IMWRITE_JPEG_QUALITY, 60])
    return read_manifest(root)


NEAR = {("smaller", "held_1", "near-duplicate"), ("turned", "held_2", "near-duplicate")}


def test_near_duplicates_leak(training_set: Manifest, held_set: Manifest) -> None:
    assert set(leaks_of(training_set.table, held_set, training_set.root)) == NEAR


def test_what_an_encoder_file_keeps_is_enough_to_find_them(training_set: Manifest, held_set: Manifest) -> None:
    assert set(leaks_of(seen_rows([training_set.table]), held_set, training_set.root)) == NEAR


def test_near_duplicates_leak_even_where_the_training_files_are_gone(
    training_set: Manifest, held_set: Manifest, tmp_path: Path
) -> None:
    assert set(leaks_of(training_set.table, held_set, tmp_path)) == NEAR


@pytest.mark.parametrize(("bits", "leaks"), [(0, True), (SURE, True), (SURE + 1, False), (80, False)])
def test_files_that_are_gone_are_judged_by_their_hash_alone(bits: int, leaks: bool, held_set: Manifest) -> None:
    only = held_set.take(["held_0"])
    flips = np.zeros(256, np.uint8)
    flips[np.random.default_rng(0).permutation(256)[:bits]] = 1
    phash = (np.frombuffer(bytes.fromhex(only.table["phash"][0]), np.uint8) ^ np.packbits(flips)).tobytes().hex()
    found = leaks_of(row("gone", phash=phash, tones=only.table["tones"][0]), only)
    assert bool(found) == leaks


def looking_like(manifest: Manifest, **entries: str) -> pd.DataFrame:
    """A training image that has the looks of the first held-out one, if its row is to be believed."""
    return row("one", **{name: manifest.table[name][0] for name in ("phash", "tones")}).assign(**entries)


def test_files_that_are_there_are_confirmed_by_their_pictures(training_set: Manifest, held_set: Manifest) -> None:
    stranger = training_set.table.set_index("image_id").loc["stranger_8"]
    found = leaks_of(
        looking_like(held_set, path=stranger["path"], sha256=stranger["sha256"]), held_set, training_set.root
    )
    assert found == []


def test_a_file_that_another_has_taken_the_place_of_is_gone(training_set: Manifest, held_set: Manifest) -> None:
    trained_on = looking_like(held_set, path="stranger_8.jpg", sha256="ab" * 8)
    assert leaks_of(trained_on, held_set, training_set.root) == [("one", "held_0", "near-duplicate")]


def test_unreadable_images_have_no_looks_in_common(held_set: Manifest) -> None:
    assert leaks_of(row("a"), held(row("b"))) == []
    assert leaks_of(row("a"), held_set) == []


def test_no_leak_is_clean_whatever_the_user_said() -> None:
    verdicts = [guard(NOTHING, 5, on_leak, "set") for on_leak in ("stop", "drop", "allow")]
    assert [verdict.action for verdict in verdicts] == ["clean"] * 3
    assert verdicts[0].sentence("the 9 images that train") == (
        "none of the 5 held-out images, and no near-duplicate, lesion or patient of theirs, "
        "is among the 9 images that train"
    )
    assert verdicts[0].summary == {
        "action": "clean", "held_out": 5, "leaking_held_out": 0, "leaking_training": 0, "pairs": {},
    }  # fmt: skip


def test_stop_prints_the_pairs_and_says_what_may_be_done(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError) as caught:
        guard(TWO, 5, "stop", "set")
    assert str(caught.value) == (
        "set: 2 training images show what 2 of the 5 held-out images show (the pairs and why are listed above); "
        "--on_leak drop leaves them out of training, and --on_leak allow trains on them all the same"
    )
    printed = capsys.readouterr().err.splitlines()
    assert printed[0].split() == COLUMNS
    assert [line.split(maxsplit=2) for line in printed[1:]] == TWO.values.tolist()


def test_a_long_table_is_cut_and_says_how_much_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    many = table_of([(f"t{n}", "h", "same file") for n in range(SHOWN + 5)])
    with pytest.raises(UserError):
        guard(many, 1, "stop", "set")
    printed = capsys.readouterr().err.splitlines()
    assert len(printed) == 1 + SHOWN + 1
    assert printed[-1] == "... and 5 more pairs"


def test_drop_returns_the_images_to_leave_out(capsys: pytest.CaptureFixture[str]) -> None:
    verdict = guard(TWO, 5, "drop", "set")
    assert verdict.dropped == ("t1", "t2")
    assert verdict.sentence("the 9 images that train") == (
        "2 of the 9 images that train and 2 of the 5 held-out images share a file, a lesion or a patient, "
        "or are near-duplicates; the former were left out (--on_leak drop)"
    )
    assert capsys.readouterr() == ("", "")


def test_allow_drops_nothing_and_still_counts() -> None:
    verdict = guard(TWO, 5, "allow", "set")
    assert verdict.dropped == ()
    assert verdict.sentence("the 9 images that train").endswith("trained on all the same (--on_leak allow)")
    assert verdict.summary == {
        "action": "allowed", "held_out": 5, "leaking_held_out": 2, "leaking_training": 2,
        "pairs": {"same file": 1, "same lesion": 2},
    }  # fmt: skip


@pytest.mark.parametrize("on_leak", ["stop", "drop"])
def test_where_nothing_can_be_dropped_any_more_the_remedy_is_another(on_leak: leaks.OnLeak) -> None:
    with pytest.raises(UserError) as caught:
        guard(TWO, 5, on_leak, "the encoder", "pretrain it anew")
    assert "(the pairs and why are listed above); pretrain it anew, and --on_leak allow" in str(caught.value)
    assert "drop leaves them out" not in str(caught.value)


def test_the_summary_counts_reasons_in_the_order_of_their_weight() -> None:
    pairs = [(f"t{n}", f"h{n % 2}", why) for n, why in enumerate(reversed(WHY))]
    assert list(Verdict(table_of(pairs), 2, "allowed").summary["pairs"].items()) == [(why, 1) for why in WHY]


def test_an_encoder_that_says_nothing_is_unknown() -> None:
    verdict = Verdict(NOTHING, 5, "unknown")
    assert "does not list all images that it was pretrained on" in verdict.sentence("the encoder's images")
    assert verdict.summary["action"] == "unknown"


def random_hex(rng: np.random.Generator, count: int) -> str:
    return rng.bytes(count).hex()


@pytest.fixture(scope="module")
def two_thousand() -> pd.DataFrame:
    """Images as the archive has them, whose hashes and tones cannot be packed any tighter."""
    rng = np.random.default_rng(0)
    entries = [
        {
            "image_id": f"ISIC_{n:07d}", "path": f"images/ISIC_{n:07d}.jpg", "lesion_id": f"IL_{n * 7 % 9999999:07d}",
            "patient_id": f"IP_{n // 9:07d}", "sha256": random_hex(rng, 32), "phash": random_hex(rng, 32),
            "tones": random_hex(rng, 64), "width": 600, "label": "nv",
        }
        for n in range(2000)
    ]  # fmt: skip
    return pd.DataFrame(entries)


def test_what_an_encoder_file_keeps_of_an_image_is_small(two_thousand: pd.DataFrame) -> None:
    assert len(packed(seen_rows([two_thousand]))) < 200 * 2000


def test_what_an_encoder_file_keeps_comes_back_as_it_went_in(two_thousand: pd.DataFrame, tmp_path: Path) -> None:
    seen = seen_rows([two_thousand])
    write_encoder_file(tmp_path / "encoder.safetensors", TENSORS, CARD, seen)
    pd.testing.assert_frame_equal(read_seen(tmp_path / "encoder.safetensors"), seen)


def test_an_encoder_file_without_a_list_of_images_says_nothing_of_them(tmp_path: Path) -> None:
    write_encoder_file(tmp_path / "encoder.safetensors", TENSORS, CARD)
    assert read_seen(tmp_path / "encoder.safetensors") is None


def test_images_of_an_earlier_pretraining_are_kept_and_counted_once(two_thousand: pd.DataFrame) -> None:
    earlier = seen_rows([two_thousand.iloc[:6]])
    seen = seen_rows([two_thousand.iloc[4:10], earlier])
    assert sorted(seen["image_id"]) == two_thousand["image_id"][:10].tolist()
    assert list(seen.columns) == SEEN_COLUMNS


@pytest.mark.parametrize("how", ["a letter", "cut", "junk"])
def test_a_damaged_list_of_images_is_refused(how: str, two_thousand: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "encoder.safetensors"
    write_encoder_file(path, TENSORS, CARD, seen_rows([two_thousand[:20]]))
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    text = header["seen"]
    other = "A" if text[50] != "A" else "B"
    header["seen"] = {"a letter": text[:50] + other + text[51:], "cut": text[:-8], "junk": "?"}[how]
    save_file(TENSORS, path, metadata=header)
    with pytest.raises(UserError) as caught:
        read_seen(path)
    assert str(caught.value).startswith(f"{path}: damaged, or no file of")
    assert "\n" not in str(caught.value)
