"""How fast masks of new pictures come: `python -m finetune.predict` against its network alone."""

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.gpu.measurements import Measurement, Tell, measure_in_turn
from benchmarks.gpu.rows import Goal, Row, figure, ratios
from benchmarks.gpu.scale import Scale
from benchmarks.gpu.turns import Turns
from dermssl.runs.control_group import usable_cores
from dermssl.synthetic.dataset import draw_image
from finetune.network.build import build_model
from finetune.network.model_file import ModelCard, write_model
from finetune.predict.config import PredictConfig
from finetune.predict.inputs import InputPicture, InputSquares, pictures_in, read_squares
from finetune.predict.member import Member, device_of, open_member
from finetune.predict.run import write_masks

PART = "prediction"
PREDICT, NETWORK, READING = "predict", "network alone", "reading alone"
DRAWN = 16  # pictures that are drawn; the others repeat them under other names


def measure(scale: Scale, seconds: float, tell: Tell) -> None:
    """Measures every encoder's Unet on pictures of each size; see `benchmarks.gpu.measurements.measure_in_turn`."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        folders = [(size, draw_pictures(place / f"{size[0]}", *size)) for size in scale.pictures]
        measurements = []
        for encoder in scale.tuned:
            for (width, height, _), folder in folders:
                subject = f"unet on {encoder}, {scale.predicted_side} px, JPEGs of {width} x {height}"
                rows = partial(rows_of, scale, encoder, folder, subject)
                measurements.append(Measurement(PART, subject, PREDICT, rows))
        measure_in_turn(measurements, seconds, tell)


def rows_of(scale: Scale, encoder: str, images: Path, subject: str, until: float) -> list[Row]:
    """The rows of one encoder's Unet on one folder of pictures; its masks are not kept."""
    with tempfile.TemporaryDirectory() as place:
        return Pictures(scale, encoder, images, Path(place)).rows(subject, until)


def draw_pictures(folder: Path, width: int, height: int, number: int) -> Path:
    """So many JPEGs of drawn skin."""
    folder.mkdir()
    files = []
    for index in range(min(DRAWN, number)):
        picture = cv2.resize(draw_image(0, index, width).image, (width, height))
        files.append(cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes())
    for index in range(number):
        (folder / f"picture_{index:04d}.jpg").write_bytes(files[index % len(files)])
    return folder


class Pictures:
    """A network, the pictures to predict, and a folder for what comes of it."""

    def __init__(self, scale: Scale, encoder: str, images: Path, place: Path) -> None:
        self.scale, self.images, self.place, self.turns = scale, images, place, count()
        self.model = write_random_model(encoder, scale.predicted_side, place / "model.safetensors")
        self.device = device_of("auto", 0)
        self.member: Member = open_member(self.model, self.device, self.options())
        self.pictures = pictures_in(images, place / "none").pictures
        ready = [self.read(picture) for picture in self.pictures[: scale.predicted_batch]]
        self.squares = np.stack([picture.squares[0] for picture in ready])

    def options(self) -> PredictConfig:
        """The options of a prediction, each time into another folder."""
        out = self.place / f"masks_{next(self.turns)}"
        return PredictConfig(model=self.model, images=self.images, out=out, batch_size=self.scale.predicted_batch)

    def rows(self, subject: str, until: float) -> list[Row]:
        """Takes turns."""
        sides = {PREDICT: self.predict, NETWORK: self.network, READING: self.reading}
        turns = Turns(sides, self.scale.rounds, until, (PREDICT, NETWORK)).run()
        where = (PART, f"{subject}, batch {self.scale.predicted_batch}, float32")
        return [
            figure(where, "predict, images/s", turns.rates[PREDICT]),
            figure(where, "network alone, images/s", turns.rates[NETWORK]),
            figure(where, "predict / network alone", ratios(turns.rates, PREDICT, NETWORK), Goal(0.8)),
            figure(where, f"reading alone, {usable_cores()} threads, images/s", turns.rates[READING]),
        ]

    def predict(self) -> float:
        """A turn of the command, from pictures to files of masks; the network was opened before."""
        options, began = self.options(), time.perf_counter()
        outcome = write_masks([self.member], options, "python -m finetune.predict")
        seconds = time.perf_counter() - began
        if outcome.written != len(self.pictures):
            raise RuntimeError(f"{outcome.written} masks were written of {len(self.pictures)} pictures")
        return outcome.written / seconds

    def network(self) -> float:
        """A turn of the network alone on squares that lie ready in memory."""
        batches = max(1, len(self.pictures) // len(self.squares))
        self.member.network(self.squares)
        began = time.perf_counter()
        for _ in range(batches):
            self.member.network(self.squares)
        return batches * len(self.squares) / (time.perf_counter() - began)

    def reading(self) -> float:
        """A turn of reading alone: files to squares, on all cores."""
        began = time.perf_counter()
        with ThreadPoolExecutor(usable_cores()) as pool:
            for _ in pool.map(self.read, self.pictures):
                pass
        return len(self.pictures) / (time.perf_counter() - began)

    def read(self, picture: InputPicture) -> InputSquares:
        """The square that the network sees of a picture."""
        squares = read_squares(picture, [self.member.preprocessing])
        assert isinstance(squares, InputSquares)
        return squares


def write_random_model(encoder: str, side: int, file: Path) -> Path:
    """The model file of a Unet with random weights: speed does not hang on what it learned."""
    torch.manual_seed(0)
    card = ModelCard(encoder=encoder, decoder="unet", image_size=side, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25),
                     init="random", encoder_sha256="", data="", commit="")  # fmt: skip
    write_model(file, build_model(card.encoder, card.decoder, card.options), card)
    return file
