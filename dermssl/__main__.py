"""Commands about data: `python -m dermssl synthesize --count 400 --size 192 --out DIR`."""

import sys
import time

from dermssl.config import COMMANDS, SynthesizeConfig
from dermssl.errors import UserError, one_sentence
from dermssl.files import need_room
from dermssl.flags import nearest, parse


def synthesize(config: SynthesizeConfig) -> None:
    """Draws the set, and says how fast and what to do next."""
    from dermssl.synthetic import write_dataset  # OpenCV is not needed to parse flags

    if config.out.exists() and any(config.out.iterdir()):
        raise UserError(f"--out {config.out}: is not empty; give a folder that does not exist")
    need_room(config.out, config.count * config.size**2, f"a set of {config.count} images")
    began = time.perf_counter()
    write_dataset(config.out, config.count, config.size, config.seed, masks=config.masks, workers=config.workers)
    seconds = time.perf_counter() - began
    print(f"results: {config.out} ({config.count} images in {seconds:.1f} s, {config.count / seconds:.0f} a second)")
    next_command = "finetune --init imagenet" if config.masks else "pretrain --method simclr"
    print(f"next:    python -m {next_command} --data {config.out}")


if __name__ == "__main__":
    with one_sentence("python -m dermssl"):
        command, *rest = sys.argv[1:] or ["--help"]
        if command in ("-h", "--help"):
            print(f"usage: python -m dermssl COMMAND [--help]\n\ncommands: {', '.join(COMMANDS)}")
        elif command in COMMANDS:
            synthesize(parse(COMMANDS[command], f"python -m dermssl {command}", rest))
        else:
            raise UserError(
                f"'{command}' is no command; there is {', '.join(COMMANDS)}{nearest(command, list(COMMANDS))}"
            )
