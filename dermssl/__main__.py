"""Commands about data, encoder files and this machine: `python -m dermssl synthesize | download | check | ...`."""

import sys
from collections.abc import Sequence
from typing import cast

from dermssl.errors import UserError, one_sentence, shown
from dermssl.wording import spelling_hint

COMMANDS = ("synthesize", "download", "check", "import", "export", "doctor")
USAGE = """usage: python -m dermssl COMMAND [--help]

commands:
  synthesize              draw dermoscopy-like images with masks
  download NAME           fetch a data set: isic2018, ham10000, isic-archive
  check DIR               look a data set over, and write a cleaned copy with --fix
  import FILE --as NAME   turn a checkpoint of another library into an encoder file
  export FILE --to NAME   write an encoder file as another library takes it
  doctor                  say what would stop a command on this machine, and what helps"""


def with_flag(words: Sequence[str], option: str) -> list[str]:
    """The words with `--option` before a first one that stands alone: `download isic2018` names the data set."""
    return [f"--{option}", *words] if words and not words[0].startswith("-") else list(words)


def do(command: str, words: Sequence[str]) -> None:
    """Runs one command; what it needs is imported once its options are known to be right.

    What reads the options is imported here and not above: the doctor is asked where libraries are broken.
    """
    from dermssl.flags import parse, parse_choice

    prog = f"python -m dermssl {command}"
    match command:
        case "synthesize":
            from dermssl.synthetic.config import SynthesizeConfig

            drawing = parse(SynthesizeConfig, prog, words)
            from dermssl.synthetic.run import run as synthesize

            synthesize(drawing)
        case "download":
            from dermssl.download.config import DOWNLOADS, DownloadConfig

            if not words:
                raise UserError(f"download takes the name of a data set: {', '.join(DOWNLOADS)}")
            wanted = cast(DownloadConfig, parse_choice(DOWNLOADS, "name", prog, with_flag(words, "name")))
            from dermssl.download.run import run as download

            download(wanted)
        case "check":
            from dermssl.check.config import CheckConfig

            if not words:
                raise UserError("check takes the folder of a data set, such as data/isic2018")
            looking = parse(CheckConfig, prog, with_flag(words, "data"))
            from dermssl.check.run import run as check

            check(looking)
        case "import":
            from dermssl.exchange.import_config import ImportConfig, as_options

            if not words:
                raise UserError("import takes a checkpoint and the encoder in it, such as moco.pth.tar --as resnet50")
            bringing = parse(ImportConfig, prog, as_options(words))
            from dermssl.exchange.import_run import run as bring

            bring(bringing)
        case "export":
            from dermssl.exchange.export_config import ExportConfig

            if not words:
                raise UserError("export takes an encoder file and a library, such as encoder.safetensors --to timm")
            handing = parse(ExportConfig, prog, with_flag(words, "file"))
            from dermssl.exchange.export_run import run as hand_over

            hand_over(handing)
        case _:
            raise UserError(
                f"{shown(command)} is no command; there is {', '.join(COMMANDS)}{spelling_hint(command, COMMANDS)}"
            )


if __name__ == "__main__":
    with one_sentence("python -m dermssl"):
        first, *rest = sys.argv[1:] or ["--help"]
        if first in ("-h", "--help"):
            print(USAGE)
        elif first == "doctor":
            from dermssl.doctor.run import run as examine

            raise SystemExit(examine(rest))
        else:
            do(first, rest)
