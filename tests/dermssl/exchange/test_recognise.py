"""An encoder is known by all of its names and shapes: 99 % is refused as 0 % is, and so is more than 100 %."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from dermssl.errors import UserError
from dermssl.exchange.candidates import PREFERENCES, Preference, choose_encoder, origin_of, reason_to_prefer
from dermssl.exchange.foreign import ForeignCheckpoint
from dermssl.exchange.recognise import Dialect, EncoderLayout, EncoderMatch, encoders_in, layout_of, matches
from dermssl.exchange.refusal import incomplete_encoder

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def layout() -> EncoderLayout:
    return layout_of("resnet18")


def without_values(library: str, name: str) -> State:
    with torch.device("meta"):
        model = torchvision.models.get_model(name) if library == "torchvision" else timm.create_model(name)
    return {key: filled(tensor) for key, tensor in model.state_dict().items()}


def filled(like: Tensor, value: float = 0) -> Tensor:
    """A tensor of this shape that takes no memory."""
    return torch.full((), value, dtype=like.dtype).expand(like.shape)


def file_of(tensors: Mapping[str, Tensor], **words: str) -> ForeignCheckpoint:
    places = {tuple(name.split(".")): tensor for name, tensor in tensors.items()}
    return ForeignCheckpoint(Path("a.pth"), places, {(name,): word for name, word in words.items()}, {})


def only(found: list[EncoderMatch]) -> EncoderMatch:
    assert len(found) == 1
    return found[0]


def lines(error: UserError) -> Iterator[str]:
    yield from str(error).splitlines()


@pytest.mark.parametrize(
    ("encoder", "library", "name"),
    [
        ("resnet18", "torchvision", "resnet18"),
        ("tu-resnet18", "torchvision", "resnet18"),
        ("tu-resnet18", "timm", "resnet18"),
        ("resnet34", "timm", "resnet34"),
        ("tu-convnext_atto", "timm", "convnext_atto"),
        pytest.param("tu-efficientnet_b0", "torchvision", "efficientnet_b0", marks=pytest.mark.slow),
        ("tu-vit_tiny_patch16_224", "timm", "vit_tiny_patch16_224"),
        pytest.param("densenet121", "torchvision", "densenet121", marks=pytest.mark.slow),
    ],
)
def test_a_classifier_of_the_library_holds_the_whole_encoder(encoder: str, library: str, name: str) -> None:
    found = only(encoders_in(file_of(without_values(library, name)), layout_of(encoder)))
    assert found.prefix == ()
    assert not found.missing


@pytest.mark.parametrize("cut", ["conv1.weight", "layer4.1.bn2.running_var"])
def test_one_tensor_less_is_not_the_encoder(cut: str, layout: EncoderLayout) -> None:
    tensors = without_values("torchvision", "resnet18")
    del tensors[cut]
    assert not encoders_in(file_of(tensors), layout)
    sentence, _, *rows = lines(incomplete_encoder(file_of(tensors), layout, None))
    assert "1 of its 120 tensors" in sentence
    assert [re.split(" {2,}", row.strip()) for row in rows] == [[cut, str(tuple(layout.tensors[cut].shape)), "nothing"]]


@pytest.mark.parametrize("shape", [(64, 3, 3, 3), (3, 64, 7, 7)])  # of a smaller kernel; with axes exchanged
def test_one_tensor_of_another_shape_is_not_the_encoder(shape: tuple[int, ...], layout: EncoderLayout) -> None:
    tensors = without_values("torchvision", "resnet18") | {"conv1.weight": torch.zeros(shape)}
    assert not encoders_in(file_of(tensors), layout)
    *_, row = lines(incomplete_encoder(file_of(tensors), layout, None))
    assert re.split(" {2,}", row.strip()) == ["conv1.weight", "(64, 3, 7, 7)", str(shape)]


@pytest.mark.parametrize("dtype", [torch.int8, torch.complex64, torch.bool])
def test_weights_that_are_no_floating_numbers_are_not_the_encoder(dtype: torch.dtype, layout: EncoderLayout) -> None:
    tensors = without_values("torchvision", "resnet18")
    tensors["conv1.weight"] = tensors["conv1.weight"].to(dtype)
    assert not encoders_in(file_of(tensors), layout)


@pytest.mark.parametrize(
    ("held", "library", "asked"),
    [
        ("resnet34", "torchvision", "resnet18"),
        pytest.param("resnet101", "torchvision", "resnet50", marks=pytest.mark.slow),
        pytest.param("seresnet50", "timm", "tu-resnet50", marks=pytest.mark.slow),
        pytest.param("efficientnet_b1", "torchvision", "tu-efficientnet_b0", marks=pytest.mark.slow),
    ],
)
def test_a_larger_network_that_holds_all_names_and_shapes_is_not_the_encoder(
    held: str, library: str, asked: str
) -> None:
    tensors = without_values(library, held)
    need = layout_of(asked)
    found = matches(file_of(tensors), need)[0]
    assert not found.missing  # so that coverage alone would take it
    assert found.surplus
    assert not encoders_in(file_of(tensors), need)
    assert "of another network" in str(incomplete_encoder(file_of(tensors), need, None))


def test_heads_of_any_kind_are_no_part_of_the_question(layout: EncoderLayout) -> None:
    heads = {
        "fc.0.weight": torch.zeros(9, 512),
        "head.mlp.weight": torch.zeros(2),
        "layer4_head.weight": torch.zeros(2),
    }
    assert only(encoders_in(file_of(without_values("torchvision", "resnet18") | heads), layout)).prefix == ()


@pytest.mark.parametrize(
    ("held", "asked", "said"),
    [("resnet34", "resnet18", "--as resnet34"), ("resnet18", "resnet50", "--as resnet18")],
)
def test_the_refusal_names_the_encoder_that_the_file_holds(held: str, asked: str, said: str) -> None:
    assert said in next(lines(incomplete_encoder(file_of(without_values("torchvision", held)), layout_of(asked), None)))


def with_stem(*shape: int) -> ForeignCheckpoint:
    return file_of(without_values("torchvision", "resnet18") | {"conv1.weight": torch.ones(shape)})


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (
            (64, 3, 3, 3),
            "its first convolution is 3 x 3 and not 7 x 7, and no encoder of a similar name has such a one",
        ),
        ((64, 1, 3, 3), "take weights of the usual network, with 7 x 7"),
        ((64, 4, 7, 7), "takes pictures of 4 channels and every encoder here those of 3, red, green and blue"),
        ((64, 1, 7, 7), "takes grey pictures; put `conv1.weight.repeat(1, 3, 1, 1) / 3` in its place"),
    ],
)
def test_a_stem_for_other_pictures_is_told_to_be_one_and_not_answered_with_as(
    shape: tuple[int, ...], said: str, layout: EncoderLayout
) -> None:
    sentence = next(lines(incomplete_encoder(with_stem(*shape), layout, None)))
    assert said in sentence
    assert "--as" not in sentence


def test_a_grey_stem_that_is_repeated_is_the_encoder_and_sees_the_same(layout: EncoderLayout) -> None:
    grey = torch.randn(64, 1, 7, 7)
    colour = grey.repeat(1, 3, 1, 1) / 3
    pictures = torch.rand(2, 1, 32, 32)
    assert torch.allclose(
        nn.functional.conv2d(pictures.expand(-1, 3, -1, -1), colour), nn.functional.conv2d(pictures, grey), atol=1e-4
    )
    tensors = without_values("torchvision", "resnet18") | {"conv1.weight": colour}
    assert encoders_in(file_of(tensors), layout)


def test_a_network_that_lacks_a_part_is_not_answered_with_as(layout: EncoderLayout) -> None:
    tensors = without_values("torchvision", "resnet18")
    del tensors["layer4.1.bn2.bias"]
    sentence = next(lines(incomplete_encoder(file_of(tensors), layout, None)))
    assert sentence.endswith("take a checkpoint of 'resnet18' that was saved whole and unchanged")


def test_quite_another_network_is_answered_with_as(layout: EncoderLayout) -> None:
    assert "name the encoder that it is with --as" in str(
        incomplete_encoder(file_of({"blocks.0.weight": torch.ones(3)}), layout, None)
    )


def test_the_refusal_believes_what_the_file_calls_its_network(layout: EncoderLayout) -> None:
    file = file_of(without_values("torchvision", "mobilenet_v2"), arch="mobilenet_v2")
    assert "--as mobilenet_v2" in next(lines(incomplete_encoder(file, layout, None)))


def test_a_wrong_prefix_is_told_the_right_one(layout: EncoderLayout) -> None:
    tensors = {f"net.{name}": tensor for name, tensor in without_values("torchvision", "resnet18").items()}
    assert not encoders_in(file_of(tensors), layout, "model")
    assert "whole it lies at net" in next(lines(incomplete_encoder(file_of(tensors), layout, "model")))


def test_the_table_is_short(layout: EncoderLayout) -> None:
    tensors = {
        name: tensor for name, tensor in without_values("torchvision", "resnet18").items() if "layer" not in name
    }
    _, _, *rows, last = lines(incomplete_encoder(file_of(tensors), layout, None))
    assert len(rows) == 10
    assert last.strip() == "... and 104 more"


def test_a_prefix_is_whole_words_between_dots_or_slashes(layout: EncoderLayout) -> None:
    whole = without_values("torchvision", "resnet18").items()
    tensors = {f"a.b.{name}": filled(tensor) for name, tensor in whole}
    tensors |= {f"a.bb.{name}": filled(tensor, 1) for name, tensor in whole}
    for written in ("a.b", "a/b", "a.b."):
        assert only(encoders_in(file_of(tensors), layout, written)).prefix == ("a", "b")
    assert not encoders_in(file_of(tensors), layout, "a")


def test_equal_copies_are_one_encoder(layout: EncoderLayout) -> None:
    whole = without_values("torchvision", "resnet18").items()
    tensors = {f"{place}.{name}": filled(tensor) for place in ("model", "embedding.model") for name, tensor in whole}
    assert only(encoders_in(file_of(tensors), layout)).prefix == ("model",)


def test_copies_that_differ_in_one_tensor_are_two_encoders(layout: EncoderLayout) -> None:
    whole = without_values("torchvision", "resnet18").items()
    tensors = {f"{place}.{name}": filled(tensor) for place in ("left", "right") for name, tensor in whole}
    tensors["right.bn1.bias"] = torch.ones(64)
    assert [match.prefix for match in encoders_in(file_of(tensors), layout)] == [("left",), ("right",)]


def test_layers_by_number_are_those_of_the_row_that_lightly_trains(layout: EncoderLayout) -> None:
    with torch.device("meta"):
        row = nn.Sequential(*list(torchvision.models.resnet18().children())[:-1])
    tensors = {f"backbone.{name}": filled(tensor) for name, tensor in row.state_dict().items()}
    found = only(encoders_in(file_of(tensors), layout))
    assert found.dialect.form == "numbered"
    assert found.places["layer1.0.conv1.weight"] == ("backbone", "4", "0", "conv1", "weight")


def fit_at(where: str) -> EncoderMatch:
    return EncoderMatch(tuple(where.split(".")), only_dialect(), {}, ())


def only_dialect() -> Dialect:
    return Dialect("smp", {}, frozenset())


def test_two_encoders_that_no_rule_tells_apart_stop_and_are_named() -> None:
    with pytest.raises(UserError, match=r"--prefix model\.left, --prefix model\.right"):
        choose_encoder([fit_at("model.left"), fit_at("model.right")])


def test_the_top_of_a_file_is_named_as_an_empty_prefix() -> None:
    with pytest.raises(UserError, match=r"give --prefix '', --prefix copy$"):
        choose_encoder([EncoderMatch((), only_dialect(), {}, ()), fit_at("copy")])


def test_of_three_encoders_the_one_is_taken_that_beats_both() -> None:
    backbone, momentum, student = map(fit_at, ("m.backbone", "m.momentum_backbone", "m.student_backbone"))
    match, left = choose_encoder([momentum, student, backbone])
    assert match is backbone
    assert [other for other, _ in left] == [momentum, student]


@pytest.mark.parametrize("rule", PREFERENCES, ids=str)
def test_each_rule_is_of_whole_parts_and_works_one_way(rule: Preference) -> None:
    taken, left = ("state", rule.preferred, "net"), ("state", rule.other, "net")
    assert reason_to_prefer(taken, left) == rule.reason
    assert not reason_to_prefer(left, taken)
    assert not reason_to_prefer(("state", f"my_{rule.preferred}", "net"), left)


def test_rules_that_point_both_ways_decide_nothing() -> None:
    # A teacher of the momentum encoder beside a student of the base encoder: DINO's rule against MoCo v3's.
    assert not reason_to_prefer(("teacher", "momentum_encoder"), ("student", "base_encoder"))


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("teacher.module.backbone", "DINO: teacher"),
        ("teacherx.module.backbone", "solo-learn, lightly or torchgeo: encoder"),
        ("state_dict.encoder_q_old", "network"),
    ],
)
def test_an_origin_is_told_by_whole_parts(place: str, words: str) -> None:
    assert origin_of(tuple(place.split("."))).words == words
