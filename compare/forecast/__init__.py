"""What is said of a study before it runs: what would stop it, its costs, what it could find."""
