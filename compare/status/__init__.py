"""What is said of a study while and after it runs."""
