"""Whole data sets as archives unpack, and lists of paths."""

from PIL import Image

from data.zoo.drawing import (
    ODD,
    ORDINARY,
    lesion_of,
    lesions,
    mask_file,
    pairs,
    photo_file,
    photo_of,
    photos,
    saved,
)
from data.zoo.exhibit import PLACE, Exhibit, Read, Refused

PH2_HEAD = (
    "||   Name || Histological Diagnosis || Clinical Diagnosis || Asymmetry | Pigment Network | Dots/Globules "
    "| Streaks | Regression Areas | Blue-Whitish Veil ||           Colors ||\n"
)
PH2_ROW = (
    "|| {} ||                        ||                  {} ||         0 |               T |             A |       A "
    "|                A |                 A ||             3  4 ||\n"
)
PH2_LEGEND = "\nLegends:\n\nClinical Diagnosis:\n\t0 - Common Nevus;\n\t1 - Atypical Nevus;\n\t2 - Melanoma.\n"


def layouts() -> list[Exhibit]:
    """All exhibits of this file."""
    return [isic_2018(), ham10000(), *ph2(), *parts(), *lists(), *bare(), *refused()]


def isic_2018() -> Exhibit:
    """The zips of ISIC 2018 task 1 as they unpack, with the attributes of task 2."""
    where = dict(zip(ORDINARY, ("Training", "Training", "Validation", "Test"), strict=True))
    task = {"Training": "Task1-2_Training", "Validation": "Task1-2_Validation", "Test": "Task1-2_Test"}
    files: dict[str, bytes] = {}
    for name, part in where.items():
        files[f"ISIC2018_{task[part]}_Input/{name}.png"] = photo_file(name)
        files[f"ISIC2018_Task1_{part}_GroundTruth/{name}_segmentation.png"] = mask_file(name)
    files["ISIC2018_Task1-2_Training_Input/ATTRIBUTION.txt"] = b"Please cite Codella et al.\n"
    files["ISIC2018_Task1-2_Training_Input/LICENSE.txt"] = b"CC BY-NC 4.0\n"
    files["ISIC2018_Task2_Training_GroundTruth_v3/ISIC_0000001_attribute_globules.png"] = mask_file("globules")
    parts = {"Training": "train", "Validation": "validation", "Test": "test"}
    known = {name: {"part": parts[part]} for name, part in where.items()}
    return Exhibit("layout_isic_2018", files, Read(photos(), lesions(), metadata=known))


def ham10000() -> Exhibit:
    """HAM10000 from Dataverse: two parts, masks of Tschandl et al., and a table without an ending."""
    files = {f"HAM10000_images_part_{1 + (name > ORDINARY[1])}/{name}.png": photo_file(name) for name in ORDINARY}
    masks = "HAM10000_segmentations_lesion_tschandl/{}_segmentation.png"
    files |= {masks.format(name): mask_file(name) for name in ORDINARY}
    rows = [f"HAM_000{index // 2},{name},nv,histo,45.0,male,back,vidir" for index, name in enumerate(ORDINARY)]
    head = "lesion_id,image_id,dx,dx_type,age,sex,localization,dataset"
    files["HAM10000_metadata"] = "\n".join([head, *rows, ""]).encode()
    known = {name: {"lesion_id": f"HAM_000{index // 2}", "label": "nv"} for index, name in enumerate(ORDINARY)}
    notes = ("HAM10000_metadata: 4 of 4 images have a row",)
    return Exhibit("layout_ham10000", files, Read(photos(), lesions(), notes, known))


def ph2() -> list[Exhibit]:
    """PH2 as its archive unpacks, at the top and one folder below."""
    ids = ("IMD002", "IMD003", "IMD004", "IMD006")
    files = {}
    for name in ids:
        folder = f"PH2 Dataset images/{name}"
        files[f"{folder}/{name}_Dermoscopic_Image/{name}.bmp"] = saved(photo_of(name), "BMP")
        files[f"{folder}/{name}_lesion/{name}_lesion.bmp"] = mask_bmp(name)
        files[f"{folder}/{name}_roi/{name}_R1_Label3.bmp"] = mask_bmp(name + " region")
    table = PH2_HEAD + "".join(PH2_ROW.format(name, number // 2) for number, name in enumerate(ids)) + PH2_LEGEND
    files["PH2_dataset.txt"] = table.replace("\n", "\r\n").encode()
    said = ("PH2_dataset.txt: 4 of 4 images have a row",)
    below = {f"PH2Dataset/{path}": content for path, content in files.items()}
    return [
        Exhibit("layout_ph2", files, Read(photos(*ids), lesions(*ids), said)),
        Exhibit("layout_ph2_one_folder_down", below, Read(photos(*ids), lesions(*ids))),
    ]


def mask_bmp(name: str) -> bytes:
    """A BMP mask of 1 bit, as PH2 has them."""
    return saved(Image.fromarray(lesion_of(name)), "BMP")


def parts() -> list[Exhibit]:
    """Folders of parts, outside or inside of `images` and `masks`."""
    where = dict(zip(ORDINARY, ("train", "train", "val", "test"), strict=True))
    known = {name: {"part": {"val": "validation"}.get(part, part)} for name, part in where.items()}
    exhibits = []
    for name, pattern in {"layout_parts_outside": "{part}/{kind}", "layout_parts_inside": "{kind}/{part}"}.items():
        files: dict[str, bytes] = {}
        for image, part in where.items():
            files |= pairs(image, images=pattern.format(part=part, kind="images") + "/{}.png",
                           masks=pattern.format(part=part, kind="masks") + "/{}.png")  # fmt: skip
        exhibits.append(Exhibit(name, files, Read(photos(), lesions(), metadata=known)))
    return exhibits


def lists() -> list[Exhibit]:
    """A CSV of paths given as --data."""
    files = pairs(images="here/{}.png", masks="there/{}_x.png")
    known = {name: {"lesion_id": f"L{index // 2}", "label": "nv"} for index, name in enumerate(ORDINARY)}
    kinds = {
        "list_of_paths": "here/{0}.png,there/{0}_x.png,L{1},nv",
        "list_of_backslashes": r"here\{0}.png,there\{0}_x.png,L{1},nv",
        "list_of_dotted_paths": "./here/../here/{0}.png,./there/{0}_x.png,L{1},nv",
        "list_of_absolute_paths": PLACE.decode() + "/here/{0}.png," + PLACE.decode() + "/there/{0}_x.png,L{1},nv",
    }
    exhibits = []
    for name, line in kinds.items():
        table = listed("image,mask,lesion_id,dx", *(line.format(image, i // 2) for i, image in enumerate(ORDINARY)))
        outcome = Read(photos(), lesions(), metadata=known)
        exhibits.append(Exhibit(name, {**files, "list.csv": table}, outcome, data="list.csv"))
    below = {
        **files,
        "lists/list.csv": listed("image,mask", *(f"../here/{i}.png,../there/{i}_x.png" for i in ORDINARY)),
    }
    plain = {**files, "list.csv": listed("image", *(f"here/{image}.png" for image in ORDINARY))}
    lines = [f"here/{image}.png,there/{image}_x.png" for image in (*ORDINARY, ODD)]
    return [
        *exhibits,
        Exhibit("list_in_a_folder_beside", below, Read(photos(), lesions()), data="lists/list.csv"),
        Exhibit("list_of_images_alone", plain, Read(photos()), data="list.csv"),
        Exhibit("list_with_a_file_that_is_gone", {**files, "list.csv": listed("image,mask", *lines)},
                Refused((r"(?i)no such file|does not exist",), "unreadable"), data="list.csv"),
    ]  # fmt: skip


def listed(*lines: str) -> bytes:
    """These lines of a table."""
    return "".join(f"{line}\n" for line in lines).encode()


def bare() -> list[Exhibit]:
    """Pictures without masks, at any depth."""
    flat = {f"{name}.png": photo_file(name) for name in ORDINARY}
    deep = {f"{'year/' * index}{name}.png": photo_file(name) for index, name in enumerate(ORDINARY)}
    return [
        Exhibit("layout_flat_pictures", flat, Read(photos())),
        Exhibit("layout_pictures_at_any_depth", deep, Read(photos())),
    ]


def refused() -> list[Exhibit]:
    """Folders that are no data set."""
    text = {"readme.txt": b"The pictures are on the other disk.\n"}
    phones = {f"IMG_{number}.heic": b"\0\0\0\x18ftypheic" for number in range(3)}
    alone = pairs() | {f"masks/{ODD}.png": mask_file(ODD)}
    bare_one = pairs() | {f"images/{ODD}.png": photo_file(ODD)}
    return [
        Exhibit("layout_no_picture", text, Refused(("no images",), "set")),
        Exhibit("layout_only_heic", phones, Refused(("no images", "heic"), "set")),
        Exhibit("layout_mask_without_image", alone, Refused((f"masks/{ODD}",), "set", masks_only=True)),
        Exhibit("layout_image_without_mask", bare_one, Refused((f"images/{ODD}",), "set", masks_only=True)),
    ]
