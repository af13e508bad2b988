"""The command `dermssl`: what `python -m` starts, from any folder, also one that holds a folder called `pretrain`."""

import runpy
import sys

from dermssl import __version__

MODULES = {
    "pretrain": "pretrain", "finetune": "finetune", "predict": "finetune.predict", "ensemble": "finetune.ensemble",
    "preview": "finetune.preview", "probe": "probe", "embed": "probe.embed", "compare": "compare",
}  # fmt: skip
USAGE = """usage: dermssl COMMAND [--help]

commands:
  pretrain                pretrain an encoder on unlabelled images
  finetune                train a segmentation network from an encoder's weights
  predict, ensemble       write masks by one trained network, or by several
  preview                 show what augmentation makes of a data set
  probe                   measure an encoder's embeddings, and draw the map of them
  embed                   write an encoder's features of every picture, to take along
  compare                 plan, run and conclude a study
  synthesize              draw dermoscopy-like images with masks
  download NAME           fetch a data set
  check DIR               look a data set over, and write a cleaned copy with --fix
  import, export FILE     take an encoder from, or hand it to, another library
  doctor                  say what would stop a command on this machine, and what helps

Each is `python -m` of the same name: the last five lines of `dermssl`, predict, ensemble and preview of `finetune`,
embed of `probe`."""


def main() -> None:
    """Starts the module of the command that is named, as `python -m` does; others are of `python -m dermssl`."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help"):
        print(USAGE)
    elif name == "--version":
        print(f"dermssl {__version__}")
    elif name in MODULES:
        del sys.argv[1]
        runpy.run_module(MODULES[name], run_name="__main__", alter_sys=True)
    else:
        runpy.run_module("dermssl", run_name="__main__", alter_sys=True)
