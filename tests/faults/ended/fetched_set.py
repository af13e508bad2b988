"""A data set to fetch, and the server that has it, in a process of its own: a thread would be forked along."""

import io
import os
import signal
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mirror import Server, Turn

from dermssl.download.catalogue import CLASSES, HAM_CLASSES, HAM_IMAGES, HAM_LESIONS

PACE = 0.005  # seconds a kilobyte


def ham10000(pictures: Path) -> dict[str, bytes]:
    """The files of HAM10000 with these pictures, each of a lesion of its own."""
    names = sorted(path.stem for path in pictures.iterdir())
    images = {f"{HAM_IMAGES}/{path.stem}.jpg": path.read_bytes() for path in sorted(pictures.iterdir())}
    table = [",".join(["image", *CLASSES]), *(f"{name},1.0,0.0,0.0,0.0,0.0,0.0,0.0" for name in names)]
    lesions = ["image,lesion_id,diagnosis_confirm_type", *(f"{name},HAM_{name},histopathology" for name in names)]
    return {
        f"{HAM_IMAGES}.zip": zipped(images),
        f"{HAM_CLASSES}.zip": zipped({f"{HAM_CLASSES}/{HAM_CLASSES}.csv": "\n".join(table).encode()}),
        HAM_LESIONS: "\n".join(lesions).encode(),
    }


def zipped(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


class Written(list[tuple[str, str, str]]):
    """What the server was asked, a line each in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, words: tuple[str, str, str]) -> None:
        with self.path.open("a") as asked:
            asked.write(" ".join(words) + "\n")


@contextmanager
def served(files: dict[str, bytes], asked: Path) -> Iterator[str]:
    """The address of a server that is slow enough to be interrupted; `asked` gets what it is asked."""
    server = Server()
    server.files, server.always, server.asked = files, Turn(pace=PACE), Written(asked)
    process = os.fork()
    if process == 0:
        server.serve_forever(poll_interval=0.01)
        os._exit(0)
    address = server.place
    server.server_close()
    yield address
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
