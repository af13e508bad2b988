"""The methods of pretraining, a file each that can be held against its paper, and what they share."""
