"""What would stop a command on this machine, told before one is started; needs nothing but Python itself."""
