"""The command `dermssl`: what `python -m` starts, from any folder, also one that holds a folder called `pretrain`."""

import runpy
import sys

from dermssl import __version__

MODULES = {
    "pretrain": "pretrain", "finetune": "finetune", "predict": "finetune.predict", "ensemble": "finetune.ensemble",
    "preview": "finetune.preview", "export-model": "finetune.export", "probe": "probe", "embed": "probe.embed",
    "compare": "compare", "publish": "compare.publish",
}  # fmt: skip
COMMANDS = {
    "pretrain": "pretrain an encoder on unlabelled images",
    "finetune": "train a segmentation network from an encoder's weights",
    "predict": "write masks by one trained network",
    "ensemble": "write masks by several trained networks",
    "preview": "show what augmentation makes of a data set",
    "export-model": "write a trained network as ONNX",
    "probe": "measure an encoder's embeddings, and draw the map of them",
    "embed": "write an encoder's features of every picture, to take along",
    "compare": "plan, run and conclude a study",
    "publish": "write the pages of results from studies that were kept",
    "synthesize": "draw dermoscopy-like images with masks",
    "download": "fetch a data set: download NAME",
    "check": "look a data set over, and write a cleaned copy with --fix: check DIR",
    "import": "take an encoder from another library: import FILE",
    "export": "hand an encoder to another library: export FILE",
    "doctor": "say what would stop a command on this machine, and what helps",
}
USAGE = f"""usage: dermssl COMMAND [--help]

commands:
{chr(10).join(f"  {name:<24}{does}" for name, does in COMMANDS.items())}

Each is `python -m` of the same name: the last six lines of `dermssl`, predict, ensemble and preview of `finetune`,
embed of `probe`, publish of `compare`; export-model is `python -m finetune.export`.

`dermssl --print-completion bash` (or zsh, fish) prints what completes all this in a shell."""


def main() -> None:
    """Starts the module of the command that is named, as `python -m` does; others are of `python -m dermssl`."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help"):
        print(USAGE)
    elif name == "--version":
        print(f"dermssl {__version__}")
    elif name == "--print-completion":
        from dermssl.completion.script import completion_script  # which imports the options of every command
        from dermssl.errors import one_sentence

        with one_sentence("dermssl"):
            print(completion_script(sys.argv[2:], COMMANDS), end="")
    elif name in MODULES:
        del sys.argv[1]
        runpy.run_module(MODULES[name], run_name="__main__", alter_sys=True)
    else:
        runpy.run_module("dermssl", run_name="__main__", alter_sys=True)
