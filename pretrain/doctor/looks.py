"""What an encoder in the middle of its training knows, measured on images that it may see.

Looking changes nothing: weights, BatchNorm's statistics, queues and random states are afterwards what they were.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dermssl.data.manifest import Manifest
from dermssl.data.pixel_cache import PixelCache
from dermssl.features.dense import MaskedPictures, masked_pictures, probe_dense
from dermssl.features.frozen import FrozenEncoder
from dermssl.features.neighbours import vote
from dermssl.features.representation import alignment, rankme, spread, uniformity
from dermssl.parallel import rank, summed, world
from dermssl.weights.encoder import Start, pooled
from pretrain.doctor.signs import relative_distance
from pretrain.methods.method import Method
from pretrain.views.batch import Batch

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]

PAIRS = 256  # images whose views are looked at; RankMe of N rows is at most N
LABELLED = 2000  # images that neighbours are looked for among
NEIGHBOURS = 20
FITTED, SCORED = 50, 300  # pictures with masks
AT_ONCE = 64  # pictures that go through the encoder together
EXCHANGED = 4  # images that are exchanged to see who moves
STILL = 1e-6  # how far a unit row's coordinates move: what the same numbers in the same order give twice


@dataclass(frozen=True)
class Look:
    """What there is to look at.

    Args:
        start: The encoder that is trained, and its normalisation.
        pictures: The pixels of the images that are trained on.
        manifest: The table of the same images in the same order; its labels and masks are used where it has any.
        draw: Two views of each image of these rows, the same ones at every call.
        image_size: Side that pictures are brought to, pixels.
        seed: Seed of the choice of images.
        masked: Pixels and table of other images, which have masks and are not held out, for the dense probe; without
            them it takes those that are trained on.
    """

    start: Start
    pictures: PixelCache
    manifest: Manifest
    draw: Callable[[Rows], Batch]
    image_size: int
    seed: int
    masked: tuple[PixelCache, Manifest] | None = None

    def rows(self, count: int) -> Rows:
        """So many images, or all there are, drawn by the seed."""
        return np.random.default_rng([self.seed, 0xD0C]).permutation(len(self.manifest))[:count]

    def by_lesion(self, manifest: Manifest) -> Rows:
        """All images, those of a lesion side by side, lesions in an order drawn by the seed."""
        names, lesion = np.unique(manifest.table["lesion_id"].to_numpy(str), return_inverse=True)
        place = np.random.default_rng([self.seed, 0x1E5]).permutation(len(names))
        return np.argsort(place[lesion], kind="stable")


def features_of_views(look: Look, device: torch.device) -> dict[str, float]:
    """How the features of views lie: their spread and rank, and whether two views of an image lie together."""
    encoder = FrozenEncoder(look.start, look.image_size, AT_ONCE, device)
    with torch.inference_mode():
        views = look.draw(look.rows(PAIRS)).views
        parts = [pooled(encoder.encoder, encoder.normalise(part.to(device))) for part in torch.split(views, AT_ONCE)]
        features = torch.cat(parts).float()  # (2N, C)
        first, second = features.chunk(2)
        measures = {
            "feature_spread": spread(features),
            "rankme": rankme(features),
            "alignment": alignment(first, second),
            "uniformity": uniformity(first),
        }
    return {name: float(value) for name, value in measures.items()}


def vote_of_neighbours(look: Look, device: torch.device) -> dict[str, float]:
    """Balanced accuracy of the vote of neighbours: two thirds of the lesions vote on the rest; nothing without classes.

    Classes that do not lie on both sides are left out.
    """
    labels = look.manifest.table["label"].to_numpy(str)
    rows = np.array([row for row in look.by_lesion(look.manifest) if labels[row]], np.int64)[:LABELLED]
    lesions = look.manifest.table["lesion_id"].to_numpy(str)[rows]
    cut = first_of_lesion(lesions, len(rows) * 2 // 3)
    shared = sorted(set(labels[rows[:cut]]) & set(labels[rows[cut:]]))
    if len(shared) < 2:
        return {}
    bank, queries = (np.array([row for row in part if labels[row] in shared]) for part in (rows[:cut], rows[cut:]))
    encoder = FrozenEncoder(look.start, look.image_size, AT_ONCE, device)
    features = encoder.features(look.pictures.take([*bank, *queries]))
    classes = np.searchsorted(shared, labels[[*bank, *queries]])
    votes = vote(features[: len(bank)], classes[: len(bank)], features[len(bank) :], len(shared),
                 min(NEIGHBOURS, len(bank)))  # fmt: skip
    truth = classes[len(bank) :]
    hits = votes.argmax(axis=1) == truth
    return {"knn_accuracy": float(np.mean([hits[truth == name].mean() for name in range(len(shared))]))}


def dense_scores(look: Look, device: torch.device) -> Floats | None:
    """IoU of each picture at native size under a ridge on feature maps, fitted on 50 others; None where masks are few.

    The pictures that it is scored on are those of other lesions; the encoder may have seen them, without their masks.
    """
    pixels, manifest = look.masked or (look.pictures, look.manifest)
    pictures = dense_pictures(look, manifest)
    if pictures.refusal:
        return None
    encoder = FrozenEncoder(look.start, look.image_size, AT_ONCE, device)
    return probe_dense(encoder, pixels, pictures, [len(pictures.train)])["jaccard"].to_numpy(float)


def dense_pictures(look: Look, manifest: Manifest) -> MaskedPictures:
    """Up to 50 pictures to fit on, at most half of them all, and up to 300 of other lesions to score."""
    ids = manifest.table["image_id"].to_numpy(str)[look.by_lesion(manifest)].tolist()
    whole = masked_pictures(manifest, ids, [])
    cut = first_of_lesion(whole.lesions(whole.train), min(FITTED, len(whole.train) // 2))
    return MaskedPictures(manifest, whole.train[:cut], whole.train[cut : cut + SCORED])


def dense_change(scores: Floats, first: Floats) -> dict[str, float]:
    """How far the dense probe has moved from its first scores of the same pictures, and that mean's standard error."""
    change = scores - first
    return {"dense_change": float(change.mean()), "dense_error": float(change.std(ddof=1) / len(change) ** 0.5)}


def first_of_lesion(lesions: Sequence[str] | NDArray[np.str_], place: int) -> int:
    """The place at or after `place` where another lesion begins, or the end."""
    while 0 < place < len(lesions) and lesions[place] == lesions[place - 1]:
        place += 1
    return place


def two_batches(look: Look, size: int) -> Batch | None:
    """Two batches of `size` images for each process in one, drawn for it alone; None where images are too few."""
    rows = look.rows(2 * size * world())
    return None if len(rows) < 2 * size * world() else look.draw(rows[rank() :: world()])


def pair_losses(
    method: Method, batch: Batch, context: Callable[[], AbstractContextManager[object]]
) -> dict[str, float]:
    """A method's loss on pairs of views, and on pairs of views that show two images.

    A loss that looks at pictures is low for true pairs alone.

    Args:
        method: In training mode.
        batch: Two batches in one; the first one's images get partners from the second.
        context: Computes in the training's precision.
    """
    images, strangers = np.arange(len(batch.images)).reshape(2, -1)
    scalars = {}
    for name, partners in (("pair_loss", images), ("stranger_loss", strangers)):
        with untouched(method), torch.no_grad(), context():
            torch.manual_seed(0)
            step = Batch(*(tensor.to(method.device) for tensor in batch_of_pairs(batch, images, partners)))
            loss = method.training_step(step, 0)["loss"].detach()
        scalars[name] = float(summed(loss)) / world()
    return scalars


def batch_of_pairs(batch: Batch, first: Rows, second: Rows) -> Batch:
    """The first views, and all small crops, of some images of a batch, with the second views of others."""
    count = len(batch.images)
    crops = np.concatenate([first + count * crop for crop in range(len(batch.local) // count)] or [first[:0]])
    views = np.concatenate([first, second + count])
    places = np.concatenate([views, crops + 2 * count])
    return Batch(batch.views[views], batch.local[crops], batch.maps[places], batch.images[first])


def shared_companions(method: Method, batch: Batch) -> dict[str, float]:
    """How many of the images that BatchNorm mixes into a query it mixes into the query's key as well.

    What a query and its key have in common, and keys of other batches have not, gives the answer away (He et al. 2020,
    section 3.3); accuracy then rises without anything being seen in the pictures. So an image is exchanged for a
    stranger, and queries and keys that move had it for company. Nothing for methods without a queue of keys, or
    without BatchNorm.

    Args:
        method: In training mode.
        batch: Two batches in one; strangers are from the second.
    """
    if not method.queues_keys:
        return {}
    views = batch.views.to(method.device).view(2, 2, -1, *batch.views.shape[1:])  # (view, batch, B, 3, S, S)
    before = queries_and_keys(method, views[:, 0])
    moved = []
    for place in range(min(EXCHANGED, views.shape[2])):
        exchanged = views[:, 0].clone()
        exchanged[:, place] = views[:, 1, place]
        after = queries_and_keys(method, exchanged)
        others = torch.arange(views.shape[2], device=method.device) != place
        moved.append(((before - after).abs().amax(dim=2) > STILL)[:, others])
    queries, keys = torch.stack(moved, dim=1)  # (EXCHANGED, B - 1) each
    if not bool(queries.any()):
        return {}
    return {"shared_companions": float((queries & keys).sum() / queries.sum())}


def queries_and_keys(method: Method, views: Tensor) -> Tensor:
    """Unit queries of the first views and unit keys of the second, (2, B, D), from (2, B, 3, S, S)."""
    with untouched(method), torch.no_grad():
        torch.manual_seed(0)  # the same shuffle each time
        return method.queries_and_keys(views)


def slow_copy_distance(
    method: Method, batch: Batch, context: Callable[[], AbstractContextManager[object]]
) -> dict[str, float]:
    """How far the slow copy of the encoder is from it, once it has followed; nothing where there is none."""
    slow = method.slow_encoder
    if slow is None:
        return {}
    length = sum(float(weight.detach().double().norm()) for weight in slow.parameters())
    with untouched(method), torch.no_grad(), context():
        images = np.arange(len(batch.images) // 2)
        method.training_step(Batch(*(tensor.to(method.device) for tensor in batch_of_pairs(batch, images, images))), 0)
        apart = relative_distance(list(slow.parameters()), [weight.detach() for weight in method.encoder.parameters()])
    return {"teacher_distance": float(apart), "teacher_length": length}


@contextmanager
def untouched(module: nn.Module) -> Iterator[None]:
    """Puts back whatever the body moves: modes, buffers, slow copies, and torch's random states.

    Also has compiled networks run as they were written, for a look is not worth a compilation of its own.
    """
    modes = {child: child.training for child in module.modules()}
    still = [*module.buffers(), *(p for p in module.parameters() if not p.requires_grad)]
    copies = [tensor.detach().clone() for tensor in still]
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices), as_written():
        try:
            yield
        finally:
            with torch.no_grad():
                for tensor, before in zip(still, copies, strict=True):
                    tensor.copy_(before)
            for child, training in modes.items():
                child.training = training


def as_written() -> AbstractContextManager[object]:
    """Lets compiled networks run uncompiled; where nothing was compiled, there is no compiler to be imported."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()
