"""The story of `python -m dermssl synthesize`: draw a data set, and say how fast and what to do next."""

import shlex
import time

from dermssl.errors import UserError
from dermssl.files import need_room
from dermssl.places import try_places
from dermssl.synthetic.config import SynthesizeConfig
from dermssl.synthetic.dataset import IMAGES, write_dataset


def run(config: SynthesizeConfig) -> None:
    """Draws the set as `config` says.

    Raises:
        UserError: If the folder holds something already, or the disk is too full.
    """
    try_places({}, folders={"--out": config.out})
    if config.out.exists() and any(config.out.iterdir()):
        raise UserError(f"--out {config.out}: is not empty; give a folder that does not exist")
    need_room(config.out, config.count * config.size**2, f"a set of {config.count} images")
    began = time.perf_counter()
    write_dataset(config.out, config.count, config.size, config.seed, masks=config.masks, workers=config.workers)
    seconds = time.perf_counter() - began
    print(f"open:    {min((config.out / IMAGES).iterdir())}")
    print(f"results: {config.out} ({config.count} images in {seconds:.1f} s, {config.count / seconds:.0f} a second)")
    next_command = "finetune --init imagenet" if config.masks else "pretrain --method simclr"
    print(f"next:    python -m {next_command} --data {shlex.quote(str(config.out))}")
