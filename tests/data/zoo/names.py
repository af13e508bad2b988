"""Odd names of files: which of them are masks, which are neither, and which letters a name may have."""

import unicodedata

from data.zoo.drawing import ORDINARY, lesions, mask_file, pairs, photo_file, photo_of, photos, saved
from data.zoo.exhibit import Exhibit, Read, Refused

STRONG_FOLDERS = (
    "masks", "mask", "Masks", "ISIC2018_Task1_Training_GroundTruth", "segmentation", "segmentations", "train_masks"
)  # fmt: skip
WEAK_FOLDERS = ("GT", "gt", "labels", "annotations", "lesion", "lesions")
STRONG_ENDINGS = ("{}_segmentation", "{}_mask", "{}_Segmentation")
WEAK_ENDINGS = ("{}_lesion", "{}_seg", "{}_gt", "{}_label", "{}-mask", "mask_{}")


def names() -> list[Exhibit]:
    """All exhibits of this file."""
    return [
        *mask_folders(), *mask_endings(), *photographs_with_the_names_of_masks(), *masks_alone(), *letters(),
        *same_names(), *passed_over(), *neither(), roi(),
    ]  # fmt: skip


def plain(name: str, files: dict[str, bytes], *ids: str, notes: tuple[str, ...] = ()) -> Exhibit:
    """A set whose images of these ids are read with their masks."""
    return Exhibit(name, files, Read(photos(*ids), lesions(*ids), notes))


def mask_folders() -> list[Exhibit]:
    """Masks under their image's own name, known by their folder."""
    return [plain(f"folder_{folder}", pairs(masks=f"{folder}/{{}}.png")) for folder in (*STRONG_FOLDERS, *WEAK_FOLDERS)]


def mask_endings() -> list[Exhibit]:
    """Masks in the folder of their images, known by the ending of their name."""
    return [
        plain(f"ending_{ending.format('NAME')}", pairs(images="{}.png", masks=f"{ending}.png"))
        for ending in (*STRONG_ENDINGS, *WEAK_ENDINGS)
    ]


def photographs_with_the_names_of_masks() -> list[Exhibit]:
    """Photographs in folders or under names that only mean masks where an image of that name lies elsewhere."""
    exhibits = []
    for folder in ("lesions", "labels", "GT"):
        files = {f"{folder}/{name}.png": photo_file(name) for name in ORDINARY}
        exhibits.append(Exhibit(f"photographs_in_{folder}", files, Read(photos())))
    ids = ("anna_lesion", "ben_seg", "mask_carla", "dora-mask")
    files = {f"{name}.png": photo_file(name) for name in ids}
    return [*exhibits, Exhibit("photographs_called_like_masks", files, Read(photos(*ids)))]


def masks_alone() -> list[Exhibit]:
    """Masks without images: nothing can start on them, but a prediction takes what a stranger calls so."""
    files = {f"masks/{name}.png": mask_file(name) for name in ORDINARY}
    trial = {f"mask trial/{name}.png": photo_file(name) for name in ORDINARY}
    lone = {"x_attribute_red.png": photo_file("x_attribute_red")}
    refusal = Refused(("mask", "no image"), "set")
    return [
        Exhibit("masks_without_images", files, refusal, predicted=tuple(files)),
        Exhibit("photographs_in_mask_trial", trial, refusal, predicted=tuple(trial)),
        Exhibit("lone_attribute_picture", lone, Read(photos("x_attribute_red")), predicted=tuple(lone)),
    ]


def letters() -> list[Exhibit]:
    """Letters that break programs."""
    kinds = {
        "umlauts": ("Jürgen Müller", "Äpfel_ß"),
        "spaces": ("lesion  of the left arm", " leading", "trailing "),
        "emoji": ("mole 🔬", "👩‍⚕️"),
        "quotes": ("it's", 'the "big" one', "`tick`"),
        "commas": ("a,b", "1;2"),
        "brackets": ("a [1]", "b{2}", "c*d?"),
        "dots": ("scan.2024.01.05", "v1.0"),
        "percents": ("100%", "%s", "a&b", "<i>"),
        "dashes": ("--data", "-x"),
        "newline": ("two\nlines",),
        "numbers": ("1", "02", "1e5", "nan"),
        "long": ("x" * 200,),
    }
    exhibits = [plain(f"letters_{kind}", pairs(*ORDINARY, *ids), *ORDINARY, *ids) for kind, ids in kinds.items()]
    composed, apart = "Müller", unicodedata.normalize("NFD", "Müller")
    files = pairs() | {f"images/{composed}.png": photo_file(composed), f"masks/{apart}.png": mask_file(composed)}
    return [*exhibits, plain("letters_umlauts_composed_and_apart", files, *ORDINARY, composed)]


def same_names() -> list[Exhibit]:
    """Names that are one name to somebody."""
    twins = ("north/images/1", "south/images/1", "north/images/2", "south/images/2")
    files = {f"{name}.png": photo_file(name) for name in twins}
    files |= {f"{name.replace('images', 'masks')}.png": mask_file(name) for name in twins}
    deep = pairs(images="a/b/c/d/e/f/g/h/i/j/images/{}.png", masks="a/b/c/d/e/f/g/h/i/j/masks/{}.png")
    cased = {f"images/{name}.PNG": photo_file(name) for name in ORDINARY}
    cased |= {f"masks/{name.lower()}_Segmentation.Png": mask_file(name) for name in ORDINARY}
    second = pairs() | {"masks/ISIC_0000001_segmentation.png": mask_file("another reader")}
    twice = pairs() | {"images/ISIC_0000001.bmp": saved(photo_of("other"), "BMP")}
    return [
        plain("ids_that_differ_in_case", pairs("a", "A", "mole", "Mole"), "a", "A", "mole", "Mole"),
        plain("two_folders_with_the_same_names", files, *twins),
        plain("folders_in_folders", deep),
        plain("masks_in_lower_case", cased),
        plain("folder_called_like_a_picture", pairs() | {"images/scan.png/readme.txt": b"See the other disk."}),
        Exhibit("two_masks_of_one_image", second, Refused(("ISIC_0000001",), "set", masks_only=True)),
        Exhibit("one_name_and_two_endings", twice, Refused(("ISIC_0000001", "same name"), "set")),
    ]


def passed_over() -> list[Exhibit]:
    """Files that are left out, which is said with their number."""
    raw = ("heif", "avif", "dng", "nef", "cr2", "psd", "svg", "dcm", "jxl")
    phones = {f"images/IMG_{number}.heic": b"\0\0\0\x18ftypheic" for number in range(3)}
    photo = photo_file("hidden")
    hidden = {"images/._ISIC_0000001.png": photo, ".trash/ISIC_0000009.png": photo}
    mac = {f"__MACOSX/images/._{name}.png": b"\0\5\x16\7Mac OS X" for name in ORDINARY}
    exhibits = [
        plain(f"passed_over_{kind}", pairs() | {f"images/scan.{kind}": b"x"}, *ORDINARY,
              notes=(rf"\b1 file.* passed over: 1 \.{kind} \(not read\)",))
        for kind in raw
    ]  # fmt: skip
    return [
        *exhibits,
        plain("passed_over_three_heic", pairs() | phones, notes=(r"3 files passed over: 3 \.heic \(not read\)",)),
        plain("passed_over_upper_case", pairs() | {"images/A.HEIC": b"x"}, notes=(r"1 \.heic \(not read\)",)),
        plain("passed_over_hidden", pairs() | hidden, notes=(r"2 files passed over: 2 hidden",)),
        plain("passed_over_of_a_mac", pairs() | mac, notes=(r"4 files passed over: 4 hidden",)),
        plain("passed_over_several", pairs() | phones | hidden,
              notes=(r"5 files passed over: (3 \.heic \(not read\), 2 hidden|2 hidden, 3 \.heic \(not read\))",)),
    ]  # fmt: skip


def neither() -> list[Exhibit]:
    """ISIC's superpixels and attributes, beside the image that they are about."""
    pixels = {f"images/{name}_superpixels.png": photo_file(name) for name in ORDINARY}
    attributes = {f"images/{name}_attribute_globules.png": mask_file(name) for name in ORDINARY}
    return [
        plain("superpixels_beside_images", pairs() | pixels, notes=(r"4 files passed over: .*superpixels",)),
        plain("attributes_beside_images", pairs() | attributes, notes=(r"4 files passed over: .*attribute",)),
    ]


def roi() -> Exhibit:
    """Masks under an ending that only the option --masks explains."""
    files = pairs(images="{}.png", masks="{}_roi.png")
    return Exhibit("masks_by_pattern", files, Read(photos(), lesions()), masks="{id}_roi.png")
