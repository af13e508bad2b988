"""The story of a prediction, from a finished run to a mask for every image of a folder."""

from pathlib import Path

import cv2
import numpy as np

from dermssl.device import channels_last, prepare
from dermssl.encoder import Normalise
from dermssl.errors import UserError
from dermssl.files import whole_file
from dermssl.images import read_rgb
from dermssl.manifest import read_manifest, refuse_problems
from finetune.inference import Predictor
from finetune.model_file import read_model
from finetune.predict_config import PredictConfig


def predict(config: PredictConfig) -> Path:
    """Writes a mask of its own size for every image; returns the folder.

    Masks that stand already are left alone, so that a stopped prediction goes on where it was.

    Raises:
        UserError: If the model or the images cannot be used, or two images would have one mask's name.
    """
    device = prepare(config.threads)
    model, card = read_model(config.model)
    manifest = read_manifest(config.images)
    refuse_problems(manifest, masks=False)
    places = [config.out / f"{image_id}_segmentation.png" for image_id in manifest.table["image_id"]]
    if config.out.resolve() == config.images.resolve():
        raise UserError(f"--out {config.out}: is the folder of the images; give one of its own")
    todo = [index for index, place in enumerate(places) if not place.exists()]
    sizes = [(int(manifest.table["height"].iloc[i]), int(manifest.table["width"].iloc[i])) for i in todo]
    paths = manifest.paths()
    normalise = Normalise(card.mean, card.std)
    predictor = Predictor(
        channels_last(model).to(device), normalise, card.image_size, config.threshold, config.batch_size
    )
    for done, mask in predictor.masks(lambda i: read_rgb(paths[todo[i]]), sizes):
        with whole_file(places[todo[done]]) as part:
            part.write_bytes(cv2.imencode(".png", mask.astype(np.uint8) * 255)[1].tobytes())
    print(f"results: {config.out} ({len(todo)} masks written, {len(places) - len(todo)} stood already)")
    return config.out
