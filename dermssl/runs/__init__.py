"""Run folders: who holds one, whether it is as it was left, on what machine and at what cost it was made."""
