"""What a person is told of a study before, while and after it runs."""
