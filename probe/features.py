"""Features of a data set, computed once for an encoder's weights and kept beside the data set's pixels."""

import numpy as np

from dermssl.data.kept import kept_folder
from dermssl.data.manifest import Manifest
from dermssl.data.pixel_cache import cached_images
from dermssl.features.frozen import Features, FrozenEncoder
from dermssl.files import need_room, short_hash, whole_file
from dermssl.runs.lock import lock_to_make

FORMAT = 1  # raised when the same weights and pictures give other features


def kept_features(frozen_encoder: FrozenEncoder, sha256: str, manifest: Manifest) -> Features:
    """The pooled features of all images of `manifest` in its order, (N, C).

    They depend on the encoder's weights and normalisation, the side that it sees pictures at, and the pictures, and on
    nothing else: whoever asks for them again, in this study or in another, finds them.

    Args:
        frozen_encoder: The frozen encoder.
        sha256: Hash of its weights.
        manifest: The images, best the whole data set, to take rows from.
    """
    normalised = [value.tolist() for value in (frozen_encoder.normalise.mean, frozen_encoder.normalise.std)]
    what = [FORMAT, sha256, frozen_encoder.image_size, normalised, manifest.table["sha256"].tolist()]
    path = kept_folder(manifest.root) / f"features-{frozen_encoder.image_size}-{short_hash(what)}.npy"
    if not path.is_file():
        with lock_to_make(path):
            if not path.is_file():
                features = frozen_encoder.features(cached_images(manifest, frozen_encoder.image_size))
                need_room(path.parent, features.nbytes, f"the features of {len(manifest)} images")
                with whole_file(path) as part, part.open("wb") as file:
                    np.save(file, features)
    features_of_all: Features = np.load(path)
    return features_of_all
