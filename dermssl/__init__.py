"""The ground that pretrain, finetune, probe and compare share: data, encoders, scores, run folders."""

import os

__version__ = "0.1.0"

# Both are read when the library in question is first imported, so they stand here, above every import of ours.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # albumentations asks the network for updates otherwise
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads starve whatever shares the cores
