"""Which images train and which are held out, and that nothing of the one side stands on the other."""
