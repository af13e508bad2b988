import pytest
import torch

import dermssl
from dermssl.errors import UserError
from dermssl.weights.encoder import build_encoder, start_from

TINY = "tu-test_resnet"


def test_an_encoder_is_the_class_of_smp_with_its_card_and_normalisation() -> None:
    encoder = dermssl.load_encoder("random", TINY)
    start = start_from("random", TINY, seed=0)
    assert type(encoder) is type(build_encoder(TINY))
    assert not encoder.training
    assert encoder.card == start.card
    assert list(encoder.state_dict()) == list(build_encoder(TINY).state_dict())  # normalise has no tensors of its own
    pixels = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    mean, std = (torch.tensor(numbers).view(3, 1, 1) for numbers in (start.card.mean, start.card.std))
    torch.testing.assert_close(encoder.normalise(pixels), (pixels / 255 - mean) / std)
    with pytest.raises(UserError, match="which encoder"):
        dermssl.load_encoder("imagenet")
