"""What a study is: its options, its factors, every run that it consists of, its folder."""
