"""Completion of the command `dermssl` in a shell: a script made of the same options that `--help` shows."""
