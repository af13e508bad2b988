"""The linear decoder against its definition: the same numbers as a regression on features of all cells."""

import pytest
import timm
import torch
from torch.nn import functional as F

from finetune.network.build import assemble, build_model
from finetune.network.linear import LinearNetwork
from finetune.options.decoder import DecoderConfig, decoder_options_of

TRANSFORMER, RESNET = "tu-test_vit", "tu-test_resnet"


def pictures(side: int) -> torch.Tensor:
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_a_cells_logit_is_one_product_with_its_tokens_of_the_blocks() -> None:
    model = build_model(TRANSFORMER, "linear", {"encoder_blocks": [2, 5]}).eval()
    blocks = model.encoder.model.forward_intermediates(pictures(64), indices=[2, 5], intermediates_only=True)
    tokens = torch.cat(blocks, dim=1) / (1 + 1e-5) ** 0.5  # BatchNorm as it begins, but for its epsilon
    head = model.segmentation_head
    cells = torch.einsum("bchw,c->bhw", tokens, head.weight.flatten()) + head.bias  # type: ignore[union-attr, operator]
    enlarged = F.interpolate(cells[:, None], size=(64, 64), mode="bilinear", align_corners=False)
    assert torch.allclose(model(pictures(64)), enlarged, atol=1e-5)


@torch.no_grad()
def test_stages_are_read_on_the_grid_of_the_dense_probe() -> None:
    """Of a network with stages the cells are 4 pixels wide, whatever the coarsest map has."""
    model = build_model(RESNET, "linear").eval()
    seen = []
    model.segmentation_head.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape))  # type: ignore[union-attr, operator]
    assert model(pictures(64)).shape == (2, 1, 64, 64)
    assert tuple(seen[0]) == (2, sum(model.encoder.out_channels[1:]), 16, 16)  # type: ignore[union-attr, index, arg-type]


def test_one_block_is_the_last() -> None:
    given = decoder_options_of(DecoderConfig(decoder="linear", encoder_depth=1))
    last = len(timm.create_model("test_vit").blocks) - 1
    assert build_model(TRANSFORMER, "linear", given).encoder._output_indices == [last]  # type: ignore[union-attr]


def test_blocks_of_an_encoder_with_stages_are_refused() -> None:
    with pytest.raises(ValueError, match="blocks are those of plain transformers"):
        assemble(RESNET, "linear", {"encoder_blocks": [1, 2]})


def test_patches_of_14_pixels_give_a_mask_of_the_images_size() -> None:
    model = build_model("tu-vit_small_patch14_dinov2", "linear", {"encoder_depth": 1}).eval()
    with torch.no_grad():
        assert model(pictures(56)).shape == (2, 1, 56, 56)


def test_there_is_a_weight_a_channel_and_nothing_else_to_learn() -> None:
    model = LinearNetwork(TRANSFORMER, encoder_depth=2, dynamic_img_size=True)
    width = sum(model.encoder.out_channels)
    assert sum(p.numel() for p in model.segmentation_head.parameters()) == width + 1
    assert sum(p.numel() for p in model.decoder.parameters()) == 2 * width  # of BatchNorm
