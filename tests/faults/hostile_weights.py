"""Files of weights that are damaged, or made to do harm: each form is drawn anew from a file that is good."""

import base64
import gzip
import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from dermssl.weights.tensor_file import digest_of, sha256_of_tensors

Form = Callable[[bytes, np.random.Generator], bytes]
SUNG = Path("/nowhere")  # where a canary would leave a folder; the test puts a place here


class Canary:
    """An object whose unpickling makes a folder."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, (str(SUNG),)


def saved(content: object, **options: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, **options)
    return stream.getvalue()


def zipped(entries: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return stream.getvalue()


def tarred(content: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        entry = tarfile.TarInfo("model.pth")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def truncated(good: bytes, rng: np.random.Generator) -> bytes:
    return good[: int(rng.integers(1, len(good)))]


def flipped(good: bytes, rng: np.random.Generator, first: int = 0, last: int | None = None) -> bytes:
    damaged = bytearray(good)
    damaged[int(rng.integers(first, last or len(good)))] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


def patched(good: bytes, rng: np.random.Generator) -> bytes:
    at = int(rng.integers(len(good)))
    return good[:at] + rng.bytes(int(rng.integers(1, 64))) + good[at + 32 :]


def headed(header: bytes, size: int | None = None, body: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header) if size is None else size) + header + body


def entry(**fields: object) -> bytes:
    return headed(
        json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | fields}).encode(), body=bytes(8)
    )


ANY: Mapping[str, Form] = {
    "empty": lambda *_: b"",
    "one byte": lambda *_: b"\x80",
    "zeros": lambda *_: bytes(4096),
    "noise": lambda _, rng: rng.bytes(4096),
    "a text": lambda *_: b"these are not the weights that you look for\n" * 9,
    "a page": lambda *_: b"<!DOCTYPE html><title>Log in</title>",
    "JSON": lambda *_: b'{"weights": []}          ',
    "gzip": lambda good, _: gzip.compress(good[:4096]),
    "a tar": lambda good, _: tarred(good[:4096]),
    "a zip": lambda good, _: zipped({"a.txt": good[:4096]}),
    "a bomb": lambda *_: zipped({"archive/data.pkl": bytes(2**26), "archive/version": b"3\n"}),
    "HDF5": lambda *_: b"\x89HDF\r\n\x1a\n" + bytes(99),
    "git-lfs": lambda *_: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    "a picture": lambda *_: b"\x89PNG\r\n\x1a\n" + bytes(99),
    "a pickle that sings": lambda *_: pickle.dumps(Canary()),
    "an old pickle that sings": lambda *_: pickle.dumps({"state_dict": Canary()}, protocol=2),
    "a checkpoint that sings": lambda *_: saved({"state_dict": {"w": torch.ones(2)}, "x": Canary()}),
    "an old checkpoint that sings": lambda *_: saved({"x": Canary()}, _use_new_zipfile_serialization=False),
    "a whole module": lambda *_: saved(torch.nn.Linear(2, 2)),
    "truncated": truncated,
    "truncated early": lambda good, rng: truncated(good[:200], rng),
    "a flipped bit": flipped,
    "a flipped bit early": lambda good, rng: flipped(good, rng, last=min(400, len(good))),
    "a flipped bit at the end": lambda good, rng: flipped(good, rng, first=max(0, len(good) - 400)),
    "patched": patched,
    "longer": lambda good, rng: good + rng.bytes(100),
    "twice": lambda good, _: good + good,
    "no length": lambda *_: headed(b"{}", 0),
    "a length of 2^63": lambda *_: headed(b"{}", 2**63),
    "a length of 99 GB": lambda *_: headed(b'{"a": 1}', 99 * 10**9),
    "no header": lambda *_: headed(b""),
    "a list for a header": lambda *_: headed(b"[1, 2, 3]   "),
    "a pickle for a header": lambda *_: headed(pickle.dumps(Canary())),
    "null for a header": lambda *_: headed(b"null    "),
    "a header of a million brackets": lambda *_: headed(b'{"a":' + b"[" * 10**6),
    "letters that are none": lambda *_: headed(b'{"\xff\xfe": 1}'),
    "texts that are numbers": lambda *_: headed(b'{"__metadata__": {"card": 7}}'),
    "an unknown type": lambda *_: entry(dtype="F77"),
    "a negative shape": lambda *_: entry(shape=[-2]),
    "a vast shape": lambda *_: entry(shape=[2**40, 2**40]),
    "offsets beyond": lambda *_: entry(data_offsets=[0, 2**50]),
    "offsets that run back": lambda *_: entry(data_offsets=[8, 0]),
    "a shape of text": lambda *_: entry(shape="two"),
}


def rewritten(
    good: bytes, change: Callable[[dict[str, Any], dict[str, torch.Tensor]], None], texts: Mapping[str, str]
) -> bytes:
    """A file of ours with another card, other tensors or texts, and every hash right."""
    folder = SUNG.parent / "rewritten"
    folder.mkdir(exist_ok=True)
    (folder / "a").write_bytes(good)
    with safe_open(folder / "a", framework="pt") as file:
        card, header = json.loads(file.metadata()["card"]), file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(card, tensors)
    seen = {"seen": header["seen"]} if "seen" in header else {}
    parts = {"card": json.dumps(card | {"sha256": sha256_of_tensors(tensors)}), **seen, **texts}
    save_file(
        tensors, folder / "b", metadata=parts | {f"{name}_sha256": digest_of(text) for name, text in parts.items()}
    )
    return (folder / "b").read_bytes()


def carded(**fields: object) -> Form:
    """A card with these fields."""
    return lambda good, _: rewritten(good, lambda card, _: card.update(fields), {})


def with_text(**texts: str) -> Form:
    """A header with these texts."""
    return lambda good, _: rewritten(good, lambda *_: None, texts)


def with_tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Form:
    """A file with other tensors."""

    def other(_: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
        change(tensors)

    return lambda good, _: rewritten(good, other, {})


def first(tensors: dict[str, torch.Tensor], value: torch.Tensor | None = None, **change: Any) -> None:
    """Changes the first floating tensor."""
    name = next(name for name, tensor in sorted(tensors.items()) if tensor.is_floating_point() and tensor.numel() > 1)
    old = tensors[name].clone()
    if "fill" in change:
        old.view(-1)[-1] = change["fill"]
    tensors[name] = old.to(change["dtype"]) if "dtype" in change else old if value is None else value


def listed(table: pd.DataFrame) -> Form:
    """A list of seen images that is this table."""
    return with_text(seen=base64.b64encode(table.to_parquet(index=False)).decode())


CARDS: Mapping[str, Form] = {
    "a card of size 0": carded(image_size=-1),
    "a size of text": carded(image_size="large"),
    "a vast size": carded(image_size=10**9),
    "a size of nan": carded(image_size=float("nan")),
    "std 0": carded(std=[0, 0.2, 0.2]),
    "std nan": carded(std=[float("nan")] * 3),
    "two means": carded(mean=[0.5, 0.5]),
    "means of text": carded(mean="none"),
    "means of 255": carded(mean=[123.7, 116.3, 103.5]),
    "an encoder of the hub": carded(encoder="tu-hf-hub:evil/repo"),
    "an encoder of a folder": carded(encoder="tu-local-dir:/etc"),
    "an encoder's tag of the hub": carded(encoder="tu-resnet18.hf-hub:evil"),
    "no encoder": carded(encoder=None),
    "an encoder of two lines": carded(encoder="resnet18\nrm -rf"),
    "a list of encoders": carded(encoder=["resnet18"]),
    "another encoder": carded(encoder="resnet18"),
    "a giant encoder": carded(encoder="tu-eva_giant_patch14_224"),
    "a card that is a list": with_text(card="[1, 2]"),
    "a card that is null": with_text(card="null"),
    "a card of pairs": with_text(card='[["a", 1]]'),
    "a card of brackets": with_text(card="[" * 10**5),
    "an empty card": with_text(card="{}"),
    "a card of no JSON": with_text(card="\x00{"),
    "nan": with_tensors(lambda t: first(t, fill=torch.nan)),
    "infinity": with_tensors(lambda t: first(t, fill=-torch.inf)),
    "a tensor of 64 bits": with_tensors(lambda t: first(t, dtype=torch.float64)),
    "a tensor of 8 bits": with_tensors(lambda t: first(t, dtype=torch.float8_e4m3fn)),
    "a tensor of bytes": with_tensors(lambda t: first(t, dtype=torch.uint8)),
    "a complex tensor": with_tensors(lambda t: first(t, dtype=torch.complex64)),
    "an empty tensor": with_tensors(lambda t: first(t, torch.zeros(0))),
    "one tensor less": with_tensors(lambda t: t.pop(min(t))),
    "one tensor more": with_tensors(lambda t: t.update({"register_tokens": torch.zeros(3)})),
    "no tensors": with_tensors(lambda t: t.clear()),
    "a name of two lines": with_tensors(lambda t: t.update({"a\nb\x1b[2J": torch.zeros(3)})),
}
SEEN: Mapping[str, Form] = {
    "a list of no letters": with_text(seen="\x00\xff"),
    "a list that is null": with_text(seen="null"),
    "an empty list": with_text(seen=""),
    "a list of other columns": listed(pd.DataFrame({"a": [1]})),
    "a list of numbers": listed(
        pd.DataFrame(
            {name: [1] for name in ["image_id", "path", "lesion_id", "patient_id", "sha256", "phash", "tones"]}
        )
    ),
    "a list of nothing": listed(
        pd.DataFrame(
            {name: [None] for name in ["image_id", "path", "lesion_id", "patient_id", "sha256", "phash", "tones"]}
        )
    ),
    "a list without rows": listed(
        pd.DataFrame(columns=["image_id", "path", "lesion_id", "patient_id", "sha256", "phash", "tones"], dtype=str)
    ),
    "a list of other digits": listed(
        pd.DataFrame(
            {name: ["abc"] for name in ["image_id", "path", "lesion_id", "patient_id", "sha256", "phash", "tones"]}
        )
    ),
}
MODELS: Mapping[str, Form] = {
    "a threshold of nan": carded(threshold=float("nan")),
    "a threshold of 7": carded(threshold=7),
    "no threshold": carded(threshold="half"),
    "a decoder of nobody": carded(decoder="os.system"),
    "no decoder": carded(decoder=None),
    "a fit of nobody": carded(fit="evil"),
    "symmetries of text": carded(symmetries="yes"),
    "a cache of 0": carded(cache_size=0),
    "a depth of 99": carded(encoder_depth=99),
    "options that are a list": carded(decoder_options=[1]),
    "an option of nobody": carded(decoder_options={"--seed": 5}),
    "vast channels": carded(decoder_options={"decoder_channels": [10**9]}),
    "channels of text": carded(decoder_options={"decoder_channels": "wide"}),
}


def nested(depth: int) -> list[object]:
    inner: list[object] = [torch.ones(2)]
    for _ in range(depth):
        inner = [inner]
    return inner


def pickled(build: Callable[[], object]) -> Form:
    return lambda *_: saved(build())


PICKLES: Mapping[str, Form] = {
    "lists in lists": pickled(lambda: nested(400)),
    "a name of a million dots": pickled(lambda: {"." * 10**6: torch.ones(2)}),
    "a key of 5000 digits": pickled(lambda: {10**5000: torch.ones(2)}),
    "a million numbers and more": pickled(lambda: {"w": torch.ones(2), "x": [0] * (10**6 + 2)}),
    "a tensor without values": pickled(lambda: {"conv1.weight": torch.ones(2, device="meta")}),
    "a sparse tensor": pickled(lambda: {"w": torch.eye(3).to_sparse()}),
    "a tensor of a billion equal numbers": pickled(lambda: {"w": torch.ones(1).expand(10**9)}),
    "a number": pickled(lambda: 7),
    "a list": pickled(lambda: [1, 2]),
    "no tensors in a table": pickled(lambda: {"state_dict": {}}),
    "a text with pictures": pickled(lambda: {"a\nb\x1b[2J": torch.ones(2)}),
}
