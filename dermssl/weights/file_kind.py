"""What a file is by its first bytes, whatever it is called: a page to log in at may have been saved as weights."""

import shlex
import struct
import zipfile
from pathlib import Path
from typing import NamedTuple

ENOUGH, FEW = 512, 16  # bytes that tell a kind; so few that look like letters may be the beginning of anything


class FileKind(NamedTuple):
    """A kind of file."""

    words: str
    remedy: str = "give a file with a network's weights"
    """What to do, FILE standing for its place."""

    def sentence(self, file: Path, expected: str) -> str:
        """What to say of a file of this kind.

        Args:
            file: The file.
            expected: What it should have been: a checkpoint of torch.
        """
        return f"{file}: is {self.words}, and no {expected}; {self.remedy.replace('FILE', shlex.quote(str(file)))}"


UNPACK = "unpack it, `{} FILE > unpacked`, and give what comes of it"
TORCH_ANEW = "where it was made, load it and write its tensors by `torch.save(tensors, 'clean.pt')`"
TORCH = FileKind("a checkpoint of torch", "`python -m dermssl import FILE --as ENCODER` makes an encoder file of it")
SAFETENSORS = FileKind("a safetensors file", TORCH.remedy)
EMPTY = FileKind("empty", "copy it or make it again")
HTML = FileKind("a page of the web (HTML), such as one to log in at", "download the file itself and not its page")
JSON = FileKind("a text in JSON", "give the file with the tensors, which such a text often lies beside")
PICKLE = FileKind("a pickle that torch did not write", TORCH_ANEW)
FIRST_BYTES: dict[bytes, FileKind] = {
    b"\x89HDF\r\n\x1a\n": FileKind(
        "a file of HDF5, in which Keras keeps weights", "give weights that torch or safetensors saved"
    ),
    b"version https://git-lfs": FileKind(
        "a pointer of git-lfs, which only stands for the file", "fetch the file itself by `git lfs pull`"
    ),
    b"\x1f\x8b": FileKind("packed by gzip", UNPACK.format("gzip -dc")),
    b"BZh": FileKind("packed by bzip2", UNPACK.format("bzip2 -dc")),
    b"\xfd7zXZ\x00": FileKind("packed by xz", UNPACK.format("xz -dc")),
    b"\x28\xb5\x2f\xfd": FileKind("packed by zstd", UNPACK.format("zstd -dc")),
    b"\x89PNG": FileKind("a picture (PNG)"),
    b"\xff\xd8\xff": FileKind("a picture (JPEG)"),
    b"\x93NUMPY": FileKind("an array of numpy"),
    b"GGUF": FileKind("a language model (GGUF)"),
    b"<?xml": FileKind("a text in XML, such as a server's word that it has no such file", HTML.remedy),
    # torch's own number, as its files before 1.6 begin
    b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.": TORCH,
}


def kind_of(file: Path) -> FileKind | None:
    """The kind of a file; None where its first bytes tell of none that is known here."""
    with file.open("rb") as stream:
        head = stream.read(ENOUGH)
    if begins_as_safetensors(head, file.stat().st_size):  # its length may look like anything else's first bytes
        return SAFETENSORS
    by_bytes = next((kind for begin, kind in FIRST_BYTES.items() if head.startswith(begin)), None)
    if by_bytes is not None or not head:
        return by_bytes or EMPTY
    if head.startswith(b"PK"):
        return kind_of_archive(file)
    if head[257:262] == b"ustar":
        return FileKind("a tar archive", "unpack it, `tar -xf FILE`, and give the checkpoint in it")
    if head[0] == 0x80 and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return PICKLE
    if head[0] == 0x08 and head[2:3] == b"\x12":
        return FileKind("a network in ONNX, by its first bytes", "give the checkpoint that it was exported from")
    return kind_of_text(head) or (SAFETENSORS if head[8:9] == b"{" else None)


def begins_as_safetensors(head: bytes, size: int) -> bool:
    """Whether a file of this size begins with the length of a header that it can hold, and the JSON of one."""
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") + 8 <= size


def kind_of_archive(file: Path) -> FileKind:
    """The kind of a zip archive; a checkpoint of torch is one with a pickle in it."""
    try:
        with zipfile.ZipFile(file) as archive:
            names, unpacked = archive.namelist(), sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, OSError, struct.error):
        return FileKind("a damaged archive, whose end is missing", EMPTY.remedy)
    if unpacked > 2 * file.stat().st_size + 2**20:  # torch packs nothing; a bomb unfolds into any size
        return FileKind(f"an archive that unfolds into {unpacked / 1e9:.1f} GB", TORCH_ANEW)
    if any(name.rpartition("/")[2] == "data.pkl" for name in names):
        return TORCH
    return FileKind("a zip archive", "unpack it, `unzip FILE`, and give the checkpoint in it")


def kind_of_text(head: bytes) -> FileKind | None:
    """The kind of a text; None where it is none, its last letter perhaps cut off."""
    text = head.decode("utf-8-sig", errors="ignore")
    is_whole = len(text.encode()) > len(head) - 7  # but for a mark of UTF-8 before it and a letter that is cut off
    if len(head) < FEW or not is_whole or not all(letter.isprintable() or letter.isspace() for letter in text):
        return None
    begin = text.lstrip().lower()
    if begin.startswith(("<!doctype html", "<html", "<head", "<script")):
        return HTML
    if begin.startswith(("{", "[")):
        return JSON
    return FileKind(f"a text that begins with '{' '.join(text.split())[:40]}'")
