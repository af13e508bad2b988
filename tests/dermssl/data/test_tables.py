"""Tables are read whoever wrote them, and a row finds its image however it spells the id."""

from pathlib import Path

import pytest

from dermssl.data.tables import ImageNames, is_placeholder, joined, read_table
from dermssl.errors import UserError


def table(folder: Path, text: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        "image_id,dx\na,nv\n", "image_id;dx\na;nv\n", "image_id\tdx\na\tnv\n", "image_id|dx\na|nv\n",
        "\ufeffimage_id, dx\na, nv\n", "\n\n Image ID ;DX\r\na; nv\r\n\r\n", "sep=;\nimage-id;dx\na;nv\n",
        "# exported on Monday\nimage_id,dx\na,nv\n", '"image_id","dx"\n"a","nv"\n',
        "||  image_id || dx ||\n|| a || nv ||\nLegend: nv is a naevus\n",
    ],
)  # fmt: skip
def test_a_table_reads_alike_however_it_is_written(text: str, tmp_path: Path) -> None:
    read = read_table(table(tmp_path, text))
    assert read.frame.to_dict("list") == {"image_id": ["a"], "dx": ["nv"]}


@pytest.mark.parametrize(("encoding", "said"), [("cp1252", "Windows-1252"), ("utf-16", "UTF-16"), ("utf-8", "")])
def test_what_encoding_was_taken_is_told(encoding: str, said: str, tmp_path: Path) -> None:
    read = read_table(table(tmp_path, "image_id,dx\na,Nävus\n".encode(encoding)))
    assert (read.encoding, read.frame["dx"][0]) == (said, "Nävus")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("image_id,dx\na,nv,x\n", "row 2 has 3 cells and the header 2"),
        ("dx,DX\na,b\n", "has two columns called dx"),
        ('image_id,lesion_id\na,"L1\nb,L2\nc,L3\n', "row 2 holds a line break in column lesion_id"),
        (b"\x00\x01", "cannot be read as a table (it is no text)"),
    ],
)
def test_a_table_that_is_none_is_told_with_its_row(text: str | bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        read_table(table(tmp_path, text), "--labels")
    assert str(caught.value).startswith(f"--labels {tmp_path / 't.csv'}: ")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("word", "image"),
    [
        ("ISIC_0024306", "ISIC_0024306"), ("isic_0024306", "ISIC_0024306"), ("ISIC_0024306.JPG", "ISIC_0024306"),
        ("photos/ISIC_0024306.jpg", "ISIC_0024306"), ("C:\\\\photos\\ISIC_0024306.tif", "ISIC_0024306"),
        ("24306", "ISIC_0024306"), ("24306.0", "ISIC_0024306"), ("0024306", "ISIC_0024306"), ("7", ""),
        ("stranger", ""),         ("a/1", "a/1"), ("x/a/1.png", "a/1"), ("c1.tif", "c1.tif"),
    ],
)  # fmt: skip
def test_a_word_finds_its_image(word: str, image: str) -> None:
    names = ImageNames(["ISIC_0024306", "ISIC_0024307", "a/1", "b/1", "c1.tif"])
    assert names.matching(word) == ({image} if image else set())


def test_a_word_that_could_be_several_images_counts_for_none(tmp_path: Path) -> None:
    join = joined(read_table(table(tmp_path, "image_id,dx\n1,nv\na/1,mel\n")), ["a/1", "b/1"])
    assert (
        join.sentence == "t.csv: 1 of 2 images have a row, 1 id could be several images and count for none (first: 1)"
    )


def test_of_two_columns_the_one_that_names_images_exactly_is_taken_and_not_that_of_row_numbers(tmp_path: Path) -> None:
    text = "image,filename,lesion_id\n1,x2.png,L2\n2,x1.png,L1\n"
    join = joined(read_table(table(tmp_path, text)), ["x1", "x2"])
    assert join.words("lesion_id").to_dict() == {"x2": "L2", "x1": "L1"}


@pytest.mark.parametrize(
    "word", ["", "-", "NA", "n/a", "#N/A", "<NA>", "Unknown", "none", "?", ".", "\u2013", "unbekannt"]
)
def test_words_that_mean_nothing_are_known(word: str) -> None:
    assert is_placeholder(word)
