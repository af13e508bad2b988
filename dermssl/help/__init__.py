"""The page that `--help` shows: options in groups, those first that people type first."""
