"""What `python -m dermssl synthesize` says when it has drawn."""

from pathlib import Path

import pytest

from dermssl.synthetic.config import SynthesizeConfig
from dermssl.synthetic.dataset import IMAGES
from dermssl.synthetic.run import run


def test_it_ends_with_a_picture_to_open_the_folder_and_what_follows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "drawn"
    run(SynthesizeConfig(out=out, count=2, size=64))
    opening, results, following = capsys.readouterr().out.splitlines()
    assert opening == f"open:    {min((out / IMAGES).glob('*.jpg'))}"
    assert results.startswith(f"results: {out} (2 images in ")
    assert following == f"next:    python -m finetune --init imagenet --data {out}"
