"""What a picture looks like: skin tone, hair, artefacts, how its mask was drawn."""
