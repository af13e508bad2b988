"""An encoder's features of every picture as a file to take along."""
