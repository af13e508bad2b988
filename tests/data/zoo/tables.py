"""Tables beside the pictures: lesions, patients and classes, however they are written."""

from collections.abc import Mapping

from data.zoo.drawing import ORDINARY, lesions, mask_file, pairs, photo_file, photos
from data.zoo.exhibit import Exhibit, Read, Refused

LESIONS = dict(zip(ORDINARY, ("HAM_1", "HAM_1", "HAM_2", "HAM_3"), strict=True))
CLASSES = dict(zip(ORDINARY, ("nevus", "nevus", "melanoma", "Nävus"), strict=True))
HEAD = ("image_id", "lesion_id", "dx")
NUMBERS = ("ISIC_0024306", "ISIC_0024307", "ISIC_0024308", "ISIC_0024309")

Known = Mapping[str, Mapping[str, str]]
KNOWN: Known = {name: {"lesion_id": LESIONS[name], "label": CLASSES[name]} for name in ORDINARY}


def tables() -> list[Exhibit]:
    """All exhibits of this file."""
    return [
        *separators(), *encodings(), *id_columns(), *id_forms(), *bare_numbers(), *diagnoses(), *lesion_columns(),
        *placeholders(), *rows_missing(), *repeated_rows(), *other_files(),
    ]  # fmt: skip


def rows(form: str = "{}") -> list[tuple[str, ...]]:
    """A row an image: its id in this form, its lesion, its class."""
    return [(form.format(name), LESIONS[name], CLASSES[name]) for name in ORDINARY]


def text(*lines: tuple[str, ...], separator: str = ",", end: str = "\n") -> str:
    """These lines as a table."""
    return "".join(separator.join(line) + end for line in lines)


def table(
    name: str, content: bytes | str, known: Known = KNOWN, *notes: str, file: str = "metadata.csv",
    ids: tuple[str, ...] = ORDINARY,
) -> Exhibit:  # fmt: skip
    """Four ordinary pairs beside a table of which all is read; that every image has a row is said by default."""
    said = notes or (rf"{file.replace('.', '[.]')}: 4 of 4 images have a row",)
    content = content.encode() if isinstance(content, str) else content
    return Exhibit(name, pairs(*ids) | {file: content}, Read(photos(*ids), lesions(*ids), said, known))


def refused(name: str, content: str, *sentence: str) -> Exhibit:
    """Four ordinary pairs beside a table that is refused."""
    return Exhibit(name, pairs() | {"metadata.csv": content.encode()}, Refused(("metadata[.]csv", *sentence), "set"))


def separators() -> list[Exhibit]:
    """Commas and what else stands between cells."""
    marks = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|", "comma_and_space": ", "}
    exhibits = [table(f"table_{kind}", text(HEAD, *rows(), separator=mark)) for kind, mark in marks.items()]
    quoted = text(HEAD, *[tuple(f'"{cell}"' for cell in row) for row in rows()])
    spaced = text(HEAD, *[tuple(f" {cell} " for cell in row) for row in rows()])
    title = '"one\ntwo, three"'
    note = text((*HEAD, "note"), *[(*row, title) for row in rows()])
    return [
        *exhibits,
        table("table_tsv", text(HEAD, *rows(), separator="\t"), file="metadata.tsv"),
        table("table_txt", text(HEAD, *rows(), separator="\t"), file="images.txt"),
        table("table_without_ending", text(HEAD, *rows()), file="HAM10000_metadata"),
        table("table_of_another_name", text(HEAD, *rows()), file="ground truth 2018.csv"),
        table("table_quoted", quoted),
        table("table_spaces_around_cells", spaced),
        table("table_cells_of_two_lines", note),
        table("table_of_windows", text(HEAD, *rows(), end="\r\n")),
        table("table_of_an_old_mac", text(HEAD, *rows(), end="\r")),
        table("table_without_a_last_end", text(HEAD, *rows()).rstrip("\n")),
        table("table_with_empty_lines", text(HEAD, *rows(), (), ("", "", ""))),
        table("table_with_an_unnamed_index", text(("", *HEAD), *[(str(i), *row) for i, row in enumerate(rows())])),
    ]


def encodings() -> list[Exhibit]:
    """One table in the encodings that spreadsheets write."""
    whole = text(HEAD, *rows())
    kinds = {"utf_8": "utf-8", "bom": "utf-8-sig", "cp1252": "cp1252", "utf_16": "utf-16", "utf_16_be": "utf-16-be"}
    contents = {kind: whole.encode(encoding) for kind, encoding in kinds.items()}
    contents["utf_16_be"] = b"\xfe\xff" + contents["utf_16_be"]
    tabs = text(HEAD, *rows(), separator="\t").encode("utf-16")
    return [
        *(table(f"table_in_{kind}", content) for kind, content in contents.items()),
        table("table_of_unicode_text", tabs, file="metadata.txt"),
    ]


def id_columns() -> list[Exhibit]:
    """What the column of ids may be called."""
    titles = (
        "image_id", "image", "Image_ID", "Image ID", "isic_id", "img_id", "filename", "image_name", "file", "IMAGE"
    )  # fmt: skip
    return [
        table(f"table_column_{title.replace(' ', '_with_space_')}", text((title, *HEAD[1:]), *rows()))
        for title in titles
    ]


def id_forms() -> list[Exhibit]:
    """How the ids may be written."""
    forms = {
        "jpg": "{}.jpg", "png": "{}.png", "upper_jpg": "{}.JPG", "path": "images/{}.png",
        "absolute_path": "/home/eva/pictures/{}.png", "backslashes": "C:\\pictures\\{}.png", "spaces": " {} ",
    }  # fmt: skip
    exhibits = [table(f"table_ids_as_{kind}", text(HEAD, *rows(form))) for kind, form in forms.items()]
    lower = [(name.lower(), *row) for name, *row in rows()]
    return [*exhibits, table("table_ids_in_lower_case", text(HEAD, *lower))]


def bare_numbers() -> list[Exhibit]:
    """Numbers in place of the ids of the archive."""
    known = {name: {"lesion_id": f"L{index // 2}"} for index, name in enumerate(NUMBERS)}
    forms = {"plain": "{}", "with_a_point": "{}.0", "with_zeros": "00{}"}
    exhibits = []
    for kind, form in forms.items():
        lines = [(form.format(24306 + index), f"L{index // 2}") for index in range(4)]
        exhibits.append(table(f"table_numbers_{kind}", text(HEAD[:2], *lines), known, ids=NUMBERS))
    return exhibits


def classes(*words: str) -> Known:
    """The class of each ordinary image."""
    return {name: {"label": label} for name, label in zip(ORDINARY, words, strict=True)}


def diagnoses() -> list[Exhibit]:
    """Columns that hold the class."""
    levels = ("isic_id", *(f"diagnosis_{level}" for level in range(1, 6)))
    lines = [
        (ORDINARY[0], "Benign", "Benign melanocytic proliferations", "Nevus", "", ""),
        (ORDINARY[1], "Benign", "", "", "", ""),
        (
            ORDINARY[2],
            "Malignant",
            "Malignant melanocytic proliferations (Melanoma)",
            "Melanoma",
            "Invasive",
            "Nodular",
        ),
        (ORDINARY[3], "", "", "", "", ""),
    ]
    plain = list(CLASSES.items())
    words = classes("nevus", "nevus", "melanoma", "Nävus")
    return [
        table("table_diagnosis_levels", text(levels, *lines), classes("Nevus", "Benign", "Melanoma", "")),
        table("table_dx", text(("image_id", "dx"), *plain), words),
        table("table_diagnosis", text(("image_id", "diagnosis"), *plain), words),
        table("table_diagnosis_with_a_capital", text(("image_id", "Diagnosis"), *plain), words),
    ]


def lesion_columns() -> list[Exhibit]:
    """Columns that hold lesions and patients."""
    lesion = {name: {"lesion_id": lesion} for name, lesion in LESIONS.items()}
    patient = {name: {"patient_id": f"P{index // 2}"} for index, name in enumerate(ORDINARY)}
    written = [(name, row["patient_id"]) for name, row in patient.items()]
    exhibits = [
        table(
            f"table_lesions_in_{title.replace(' ', '_with_space_')}",
            text(("image_id", title), *LESIONS.items()),
            lesion,
        )
        for title in ("lesion_id", "Lesion ID", "LESION_ID")
    ]
    return [
        *exhibits,
        table("table_patients", text(("image_id", "patient_id"), *written), patient),
        table("table_patients_with_space", text(("image_id", "Patient ID"), *written), patient),
        table("table_lesions_of_numbers", text(HEAD[:2], *[(name, f"{i}") for i, name in enumerate(ORDINARY)]),
              {name: {"lesion_id": f"{i}"} for i, name in enumerate(ORDINARY) if i}),
    ]  # fmt: skip


def placeholders() -> list[Exhibit]:
    """Words that say that nobody knows: such images are no lesion together."""
    exhibits = []
    for word in ("unknown", "NA", "N/A", "-", "none", "nan", "", "0", "Unknown", "None"):
        lines = [(name, word if index < 3 else "HAM_9", "nevus") for index, name in enumerate(ORDINARY)]
        known = {name: {"lesion_id": name} for name in ORDINARY[:3]} | {ORDINARY[3]: {"lesion_id": "HAM_9"}}
        kind = {"": "nothing", "N/A": "n_slash_a", "-": "dash"}.get(word, word)
        exhibits.append(table(f"table_lesion_{kind}", text(HEAD, *lines), known, r"\b3\b.*lesion|lesion.*\b3\b"))
    patients = [(name, "unknown" if index < 2 else "P1") for index, name in enumerate(ORDINARY)]
    known = {name: {"patient_id": ""} for name in ORDINARY[:2]} | {ORDINARY[2]: {"patient_id": "P1"}}
    return [
        *exhibits,
        table(
            "table_patient_unknown",
            text(("image_id", "patient_id"), *patients),
            known,
            r"\b2\b.*patient|patient.*\b2\b",
        ),
    ]


def rows_missing() -> list[Exhibit]:
    """Rows and images that do not all have each other."""
    first = {name: {"lesion_id": LESIONS[name]} for name in ORDINARY[:3]} | {ORDINARY[3]: {"lesion_id": ORDINARY[3]}}
    more = [("ISIC_0000098", "HAM_98", "nevus"), ("ISIC_0000099", "HAM_99", "nevus")]
    strangers = [(f"scan{number}", "HAM_1", "nevus") for number in range(3)]
    return [
        table("table_lacks_an_image", text(HEAD, *rows()[:3]), first, r"metadata[.]csv: 3 of 4 images have a row"),
        table("table_has_rows_too_many", text(HEAD, *more, *rows()), KNOWN,
              r"metadata[.]csv: 4 of 4 images have a row, 2 rows match no image \(first: ISIC_0000098"),
        table("table_both_lack", text(HEAD, *more[:1], *rows()[:3]), first,
              r"3 of 4 images have a row, 1 row.* match.* no image \(first: ISIC_0000098"),
        refused("table_of_other_images", text(HEAD, *strangers), "scan0", "ISIC_0000001"),
    ]  # fmt: skip


def repeated_rows() -> list[Exhibit]:
    """Images with two rows."""
    other, unlike = (ORDINARY[0], "HAM_7", "nevus"), (ORDINARY[0], LESIONS[ORDINARY[0]], "melanoma")
    same_form = (f"{ORDINARY[0]}.jpg", *rows()[0][1:])
    return [
        table("table_equal_rows", text(HEAD, *rows(), rows()[0])),
        table("table_equal_rows_of_two_forms", text(HEAD, *rows(), same_form)),
        refused("table_two_lesions_of_one_image", text(HEAD, *rows(), other), "ISIC_0000001", "HAM_1", "HAM_7"),
        refused("table_two_classes_of_one_image", text(HEAD, *rows(), unlike), "ISIC_0000001", "nevus", "melanoma"),
    ]


def other_files() -> list[Exhibit]:
    """Two tables, and files that look like one."""
    lesion, label = text(HEAD[:2], *LESIONS.items()), text(("image", "dx"), *CLASSES.items())
    two = pairs() | {"a.csv": lesion.encode(), "b.csv": label.encode()}
    said = ("a[.]csv: 4 of 4 images", "b[.]csv: 4 of 4 images")
    alone = {name: {"lesion_id": name} for name in ORDINARY}
    stray = pairs() | {
        "prices.csv": b"item,price\nlamp,20\n", "nothing.csv": b"", "readme.txt": b"Four pictures,\nby Eva.\n",
        "Thumbs.db": b"\xd0\xcf\x11\xe0", "LICENSE": b"CC0\n",
    }  # fmt: skip
    head = pairs() | {"metadata.csv": text(HEAD).encode()}
    beside = pairs() | {"metadata.csv": text(HEAD, *rows()).encode()}
    return [
        Exhibit("table_two_of_them", two, Read(photos(), lesions(), said, KNOWN)),
        Exhibit("table_of_something_else", stray, Read(photos(), lesions(), metadata=alone)),
        Exhibit("table_beside_the_folder_of_images", beside, Read(photos(), metadata=KNOWN), data="images"),
        table_of_paths(),
        Exhibit("table_of_a_head_alone", head, Read(photos(), lesions(), metadata=alone)),
    ]


def table_of_paths() -> Exhibit:
    """Paths as ids where names alone do not tell the images apart."""
    ids = tuple(f"{folder}/images/{number}" for number in (1, 2) for folder in ("north", "south"))
    known = {name: {"lesion_id": f"L{index}"} for index, name in enumerate(ids)}
    files = {f"{name}.png": photo_file(name) for name in ids}
    files |= {f"{name.replace('images', 'masks')}.png": mask_file(name) for name in ids}
    files["metadata.csv"] = text(HEAD[:2], *[(f"{name}.png", f"L{index}") for index, name in enumerate(ids)]).encode()
    return Exhibit("table_of_paths", files, Read(photos(*ids), lesions(*ids), metadata=known))
