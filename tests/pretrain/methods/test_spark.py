from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from dermssl.errors import UserError
from dermssl.weights.encoder import build_encoder, feature_maps
from pretrain.methods.spark import LightDecoder, SparK, hidden_error
from pretrain.shared.sparse import VisiblePatches, sparse
from pretrain.views.batch import Batch

Builds = Callable[..., SparK]
Draws = Callable[..., Batch]


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def four_of_nine(pictures: int = 2) -> VisiblePatches:
    return VisiblePatches(draw(pictures, 9).argsort(dim=1)[:, :4], 3)


def hidden_error_by_loops(painted: Tensor, images: Tensor, visible: VisiblePatches) -> float:
    """Section 3.4 patch by patch and pixel by pixel, in Python's floats."""
    patch, errors = images.shape[2] // visible.grid, []
    for picture, shown in enumerate(visible.patches.tolist()):
        for number in range(visible.grid**2):
            if number in shown:
                continue
            top, left = number // visible.grid * patch, number % visible.grid * patch
            part = (picture, slice(None), slice(top, top + patch), slice(left, left + patch))
            pixels, answers = images[part].flatten().tolist(), painted[part].flatten().tolist()
            mean = sum(pixels) / len(pixels)
            deviation = (sum((p - mean) ** 2 for p in pixels) / (len(pixels) - 1) + 1e-6) ** 0.5
            squares = [(a - (p - mean) / deviation) ** 2 for a, p in zip(answers, pixels, strict=True)]
            errors.append(sum(squares) / len(squares))
    return sum(errors) / len(errors)


def normalised(images: Tensor, grid: int) -> Tensor:
    """Each patch less its mean, by its deviation."""
    patch = images.shape[2] // grid
    result = images.clone()
    for top in range(0, images.shape[2], patch):
        for left in range(0, images.shape[2], patch):
            part = images[:, :, top : top + patch, left : left + patch]
            deviation, mean = torch.std_mean(part, dim=(1, 2, 3), keepdim=True)
            result[:, :, top : top + patch, left : left + patch] = (part - mean) / deviation
    return result


def test_the_loss_is_the_papers_patch_by_patch() -> None:
    images, painted, visible = 3 * draw(2, 3, 12, 12) + 1, draw(2, 3, 12, 12, seed=1), four_of_nine()
    ours = hidden_error(painted, images, visible)
    assert ours.item() == pytest.approx(hidden_error_by_loops(painted, images, visible), rel=1e-5)


def test_the_right_pixels_cost_nothing_and_grey_costs_one() -> None:
    images, visible = 3 * draw(2, 3, 24, 24) + 1, four_of_nine()
    assert hidden_error(normalised(images, 3), images, visible).item() == pytest.approx(0, abs=1e-6)
    assert hidden_error(torch.zeros_like(images), images, visible).item() == pytest.approx(1, abs=0.01)


def test_a_hidden_patch_of_one_colour_gives_a_finite_loss() -> None:
    images, painted = torch.full((2, 3, 12, 12), 0.3), draw(2, 3, 12, 12).requires_grad_()
    loss = hidden_error(painted, images, four_of_nine())
    loss.backward()
    assert loss.isfinite()
    assert painted.grad is not None
    assert painted.grad.isfinite().all()


def test_what_is_painted_where_all_is_seen_does_not_matter() -> None:
    images, visible = draw(2, 3, 12, 12), four_of_nine()
    painted = draw(2, 3, 12, 12, seed=1).requires_grad_()
    hidden_error(painted, images, visible).backward()
    assert painted.grad is not None
    assert torch.equal(painted.grad.ne(0).any(dim=1, keepdim=True), ~visible.marks(12))


def test_half_precision_pixels_are_compared_in_float32() -> None:
    images, painted, visible = draw(2, 3, 12, 12), draw(2, 3, 12, 12, seed=1).bfloat16(), four_of_nine()
    with torch.autocast("cpu", torch.bfloat16):
        loss = hidden_error(painted, images, visible)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(hidden_error_by_loops(painted.float(), images, visible), rel=1e-5)


@pytest.mark.parametrize(("ratio", "size", "hidden"), [(0.6, 96, 5), (0.6, 64, 2), (0.01, 96, 1), (0.99, 64, 3)])
def test_each_view_hides_as_many_patches_as_the_ratio_says_and_never_all_or_none(
    small_method: Builds, draw_batch: Draws, ratio: float, size: int, hidden: int
) -> None:
    method = small_method("spark", mask_ratio=ratio, image_size=size)
    visible = method.draw_patches(draw_batch(method.recipe))
    assert visible.shown.shape == (16, (size // 32) ** 2)
    assert (~visible.shown).sum(dim=1).tolist() == [hidden] * 16


def test_every_patch_is_hidden_as_often_and_each_view_has_its_own(small_method: Builds, draw_batch: Draws) -> None:
    method = small_method("spark", image_size=96, batch_size=400)
    views = torch.zeros(800, 3, 1, 1, dtype=torch.uint8)
    torch.manual_seed(0)
    visible = method.draw_patches(Batch(views, views[:0], torch.zeros(800, 2, 3), torch.arange(400)))
    assert visible.shown.float().mean(dim=0).tolist() == pytest.approx([4 / 9] * 9, abs=0.07)
    first, second = visible.shown.chunk(2)
    assert (first == second).all(dim=1).float().mean() < 0.05  # 1 of 126 by chance


@pytest.mark.parametrize("processes", [2, 4])
def test_an_image_hides_the_same_patches_however_many_processes_there_are(
    small_method: Builds, draw_batch: Draws, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    method = small_method("spark", image_size=96)
    batch = draw_batch(method.recipe)
    torch.manual_seed(0)
    whole = method.draw_patches(batch).patches.view(2, 8, -1)
    images = len(batch.images) // processes
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    for rank in range(processes):
        monkeypatch.setenv("RANK", str(rank))
        torch.manual_seed(0)
        own = Batch(batch.views[: 2 * images], batch.local, batch.maps[: 2 * images], batch.images[:images])
        assert torch.equal(method.draw_patches(own).patches.view(2, images, -1), whole.chunk(processes, dim=1)[rank])


def test_the_decoder_adds_each_map_to_what_the_coarser_ones_gave() -> None:
    torch.manual_seed(0)
    decoder, visible = LightDecoder([4, 5, 6], width=16, blocks=4), four_of_nine()
    fine, middle, coarse = maps = [visible.masked(draw(2, width, 3 * scale, 3 * scale)) for width, scale in
                                   ((4, 4), (5, 2), (6, 1))]  # fmt: skip
    x = decoder.densify[0](coarse, visible)
    for level, sparse_map in ((1, middle), (2, fine)):
        x = decoder.blocks[level - 1](x) + decoder.densify[level](sparse_map, visible)
        assert x.shape[1:] == (16 >> level, 3 << level, 3 << level)
    expected = decoder.pixels(decoder.blocks[3](decoder.blocks[2](x)))
    assert torch.allclose(decoder(maps, visible), expected, atol=1e-6)
    assert expected.shape == (2, 3, 48, 48)


def test_a_dense_map_holds_normalised_places_where_seen_and_the_embedding_elsewhere() -> None:
    torch.manual_seed(0)
    dense, visible, maps = LightDecoder([4], width=4, blocks=2).densify[0], four_of_nine(), 3 * draw(2, 4, 6, 6) + 1
    dense.projection = torch.nn.Identity()
    ours = dense(maps, visible)
    rows = maps.permute(0, 2, 3, 1)[visible.marks(6)[:, 0]]
    theirs = (rows - rows.mean(dim=0)) / (rows.var(dim=0, correction=0) + 1e-5).sqrt()
    assert torch.allclose(ours.permute(0, 2, 3, 1)[visible.marks(6)[:, 0]], theirs, atol=1e-5)
    elsewhere = ours.permute(0, 2, 3, 1)[~visible.marks(6)[:, 0]]
    assert torch.equal(elsewhere, dense.embedding.expand_as(elsewhere))


def test_hidden_pixels_are_what_is_asked_for_and_nothing_that_is_told(small_method: Builds, draw_batch: Draws) -> None:
    """Other hidden pixels are answered as before."""
    method, batch = small_method("spark", image_size=96), draw_batch(small_method("spark", image_size=96).recipe)
    answers = []
    method.decoder.register_forward_hook(lambda _, __, painted: answers.append(painted))
    torch.manual_seed(0)
    marks = method.draw_patches(batch).marks(96)
    for views in (batch.views, torch.where(marks, batch.views, 255 - batch.views)):
        torch.manual_seed(0)
        method.training_step(batch._replace(views=views), 0)
    assert torch.equal(*answers)


def test_the_file_gets_an_ordinary_encoder(small_method: Builds, draw_batch: Draws) -> None:
    method = small_method("spark")
    batch = draw_batch(method.recipe)
    method.training_step(batch, 0)["loss"].backward()
    plain = build_encoder("tu-test_efficientnet")
    plain.load_state_dict(method.learned.state_dict(), strict=True)
    images = method.normalise(batch.views)
    ours, theirs = feature_maps(method.learned.eval(), images), feature_maps(plain.eval(), images)
    assert all(map(torch.equal, ours, theirs))
    assert method.decoder_tensors() == {}


def test_running_statistics_are_of_visible_places(small_method: Builds, draw_batch: Draws) -> None:
    method = small_method("spark", image_size=96)
    batch = draw_batch(method.recipe)
    torch.manual_seed(3)
    method.training_step(batch, 0)
    plain = small_method("spark", image_size=96).encoder
    torch.manual_seed(3)
    visible = method.draw_patches(batch)
    with sparse(plain, visible):
        feature_maps(plain, visible.masked(method.normalise(batch.views)))
    assert all(map(torch.equal, method.encoder.state_dict().values(), plain.state_dict().values()))


@pytest.mark.slow
def test_it_learns_to_paint_what_is_hidden(small_method: Builds, draw_batch: Draws) -> None:
    """Far better than grey, whose loss is 1, of pictures that it sees again and again."""
    method = small_method("spark")
    batch, optimiser = draw_batch(method.recipe), torch.optim.AdamW(method.parameters(), 4e-3)
    for step in range(30):
        torch.manual_seed(step)
        loss = method.training_step(batch, 0)["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.9


@pytest.mark.parametrize(("size", "fitting"), [(32, 64), (70, 64), (100, 96)])
def test_a_size_that_patches_do_not_fill_is_refused(small_method: Builds, size: int, fitting: int) -> None:
    with pytest.raises(UserError, match=rf"--image_size {size}: .*a multiple of 32 from 64 on; give {fitting}$"):
        small_method("spark", image_size=size)
