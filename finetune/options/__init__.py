"""The options of fine-tuning, a file for what they decide; torch-free."""
