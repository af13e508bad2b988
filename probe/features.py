"""Features of a data set, computed once for an encoder's weights and kept beside the data set's pixels."""

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch

from dermssl.data.kept import kept_folder
from dermssl.data.manifest import Manifest
from dermssl.data.pixel_cache import PixelCache, cached_images
from dermssl.features.frozen import Features, FrozenEncoder
from dermssl.files import need_room, short_hash, whole_file
from dermssl.parallel import first_alone, gathered, of_the_first, own_part, rank, world
from dermssl.runs.lock import lock_to_make
from dermssl.weights.encoder import feature_width

FORMAT = 1  # raised when the same weights and pictures give other features


def kept_features(frozen_encoder: FrozenEncoder, sha256: str, manifest: Manifest) -> Features:
    """The pooled features of all images of `manifest` in its order, (N, C).

    They depend on the encoder's weights and normalisation, the side that it sees pictures at, and the pictures, and on
    nothing else: whoever asks for them again, in this study or in another, finds them. Processes that torchrun started
    together share the images, and all must ask.

    Args:
        frozen_encoder: The frozen encoder.
        sha256: Hash of its weights.
        manifest: The images, best the whole data set, to take rows from.
    """
    normalised = [value.tolist() for value in (frozen_encoder.normalise.mean, frozen_encoder.normalise.std)]
    what = [FORMAT, sha256, frozen_encoder.image_size, normalised, manifest.table["sha256"].tolist()]
    path = kept_folder(manifest.root) / f"features-{frozen_encoder.image_size}-{short_hash(what)}.npy"
    if not of_the_first(path.is_file()):
        with lock_to_make(path) if rank() == 0 else nullcontext():
            if not of_the_first(path.is_file()):
                with first_alone():
                    images = cached_images(manifest, frozen_encoder.image_size)
                features = shared_features(frozen_encoder, images)
                with first_alone():
                    if rank() == 0:
                        keep(features, path)
    features_of_all: Features = np.load(path)
    return features_of_all


def keep(features: Features, path: Path) -> None:
    """Writes features, whole, for others to find."""
    need_room(path.parent, features.nbytes, f"the features of {len(features)} images")
    with whole_file(path) as part, part.open("wb") as file:
        np.save(file, features)


def shared_features(frozen_encoder: FrozenEncoder, images: PixelCache) -> Features:
    """The features of all images, (N, C), of which each process computes its part; all get all of them."""
    if world() == 1:
        return frozen_encoder.features(images)
    parts = [len(own_part(range(len(images)), number)) for number in range(world())]
    own = own_part(range(len(images)))
    rows = torch.zeros(max(parts), feature_width(frozen_encoder.encoder), device=frozen_encoder.device)
    if own:
        rows[: len(own)] = torch.from_numpy(frozen_encoder.features(images.take(own)))
    whole = gathered(rows).cpu().view(world(), max(parts), -1)  # processes gather tensors of one shape alone
    features: Features = torch.cat([part[:count] for part, count in zip(whole, parts, strict=True)]).numpy()
    return features
