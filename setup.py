"""Puts the configs, which stand beside the packages, into the wheel; all else is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class WithConfigs(build_py):
    """Copies `configs/` to `dermssl/configs`, where `dermssl.shipped` looks for it."""

    def run(self) -> None:
        """After the packages; an editable installation reads those of the checkout."""
        super().run()
        if not self.editable_mode:
            shutil.copytree("configs", Path(self.build_lib) / "dermssl" / "configs", dirs_exist_ok=True)


setup(cmdclass={"build_py": WithConfigs})
