"""Which of several encoders in one checkpoint is taken, and what its place says of where it comes from."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from dermssl.errors import UserError, first_ten
from dermssl.exchange.foreign import Place
from dermssl.exchange.recognise import EncoderMatch


class Preference(NamedTuple):
    """Which of two encoders is taken whose places differ in these parts, and why."""

    preferred: str
    other: str
    reason: str


class Origin(NamedTuple):
    """What the parts of an encoder's place say, where all of them stand in it, in this order."""

    parts: Place
    words: str
    method: str = ""
    signs: Mapping[str, str] = {}
    """Parts that stand elsewhere in a file of one method, and that method, where the encoder's place does not tell."""


# A part of a place is a whole word between dots: `backbone` is no part of `momentum_backbone.conv1`.
PREFERENCES = (
    Preference("encoder_q", "encoder_k", "MoCo judges the query encoder"),
    Preference("base_encoder", "momentum_encoder", "MoCo v3 judges the base encoder"),
    Preference("teacher", "student", "DINO judges the teacher, and so does stable-pretraining"),
    Preference("teacher_backbone", "student_backbone", "DINO judges the teacher"),
    Preference("teacher_embedding_model", "student_embedding_model", "LightlyTrain exports the teacher"),
    Preference("momentum_teacher", "classy_state_dict", "DINO judges the teacher, which VISSL keeps with the loss"),
    Preference("classy_state_dict", "moco_encoder", "MoCo judges the query encoder"),
    Preference("base_model", "ema_model", "VISSL judges the trained model"),
    Preference("backbone", "student_backbone", "lightly keeps DINO's teacher as its backbone"),
    Preference("backbone", "teacher_backbone", "lightly judges the online encoder of BYOL"),
    Preference("backbone", "key_backbone", "MoCo judges the query encoder"),
    Preference("backbone", "momentum_backbone", "solo-learn judges the trained encoder"),
    Preference("backbone", "backbone_momentum", "lightly and torchgeo judge the trained encoder"),
    Preference("backbone", "target", "torchgeo judges the online encoder of BYOL"),
    Preference("query_encoder", "key_encoder", "LightlyTrain judges the query encoder"),
    Preference("online_encoder", "target_encoder", "BYOL judges the online encoder"),
    Preference("online_network", "target_network", "BYOL judges the online encoder"),
    Preference("state_dict_ema", "state_dict", "timm validates the average of the weights"),
    Preference("model_ema", "model", "torchvision publishes the average of the weights"),
)

# Its BYOL and its DINO keep their encoders alike, but only BYOL predicts, and only DINO has a loss with tensors.
STABLE_PRETRAINING = {"predictor": "byol", "dino_loss": "dino"}
ORIGINS = (
    Origin(("encoder_q",), "moco: query encoder", "moco"),
    Origin(("encoder_k",), "moco: key encoder", "moco"),
    Origin(("base_encoder",), "moco-v3: base encoder", "mocov3"),
    Origin(("momentum_encoder",), "moco-v3: momentum encoder", "mocov3"),
    Origin(("momentum_teacher",), "VISSL: teacher", "dino"),
    Origin(("moco_encoder",), "VISSL: key encoder", "moco"),
    Origin(("_feature_blocks",), "VISSL: trunk"),
    Origin(("teacher_embedding_model",), "LightlyTrain: teacher"),
    Origin(("student_embedding_model",), "LightlyTrain: student"),
    Origin(("wrapped_model",), "LightlyTrain: model"),
    Origin(("teacher", "backbone"), "DINO: teacher", "dino"),
    Origin(("student", "backbone"), "DINO: student", "dino"),
    Origin(("backbone", "teacher"), "stable-pretraining: teacher", signs=STABLE_PRETRAINING),
    Origin(("backbone", "student"), "stable-pretraining: student", signs=STABLE_PRETRAINING),
    Origin(("teacher_backbone",), "lightly: teacher"),
    Origin(("student_backbone",), "lightly: student", "dino"),
    Origin(("key_backbone",), "lightly: key encoder", "moco"),
    Origin(("backbone_momentum",), "lightly or torchgeo: momentum encoder"),
    Origin(("momentum_backbone",), "solo-learn: momentum encoder"),
    Origin(("model", "backbone"), "torchgeo: encoder"),
    Origin(("backbone",), "solo-learn, lightly or torchgeo: encoder"),
    Origin(("encoder",), "encoder of a larger model"),
)


def choose_encoder(matches: Sequence[EncoderMatch]) -> tuple[EncoderMatch, list[tuple[EncoderMatch, str]]]:
    """The encoder to take, and each one that is left with the reason why.

    Args:
        matches: Whole encoders with different weights, at least one.

    Raises:
        UserError: If no rule decides.
    """
    for match in matches:
        others = [(other, reason_to_prefer(match.prefix, other.prefix)) for other in matches if other is not match]
        if all(reason for _, reason in others):
            return match, others
    places = first_ten([f"--prefix {'.'.join(match.prefix) or repr('')}" for match in matches])
    raise UserError(
        f"the checkpoint holds {len(matches)} whole encoders that differ, and no rule says which to take; give {places}"
    )


def reason_to_prefer(preferred: Place, other: Place) -> str:
    """Why an encoder at the one place is taken and not one at the other; nothing where that is not said."""
    ours, theirs = set(preferred) - set(other), set(other) - set(preferred)
    reasons = [rule.reason for rule in PREFERENCES if rule.preferred in ours and rule.other in theirs]
    against = [rule for rule in PREFERENCES if rule.preferred in theirs and rule.other in ours]
    return "" if against or not reasons else reasons[0]


def origin_of(place: Place) -> Origin:
    """What a place says of where its encoder comes from."""
    return next((origin for origin in ORIGINS if stand_in_order(origin.parts, place)), Origin((), "network"))


def stand_in_order(parts: Place, place: Place) -> bool:
    """Whether all parts stand in a place, one behind the other."""
    remaining = iter(place)
    return all(part in remaining for part in parts)


def pretraining_told_by(place: Place, file: Iterable[Place]) -> str:
    """How an encoder at this place was pretrained, as far as the file's structure tells; else nothing.

    Args:
        place: Of the encoder.
        file: The places of all tensors.
    """
    origin = origin_of(place)
    parts = {part for other in file for part in other} if origin.signs else set()
    return origin.method or next((method for sign, method in origin.signs.items() if sign in parts), "")
