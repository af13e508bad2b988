"""What trains: optimisers, schedules, the trainer, checkpoints, loggers, draws as functions of counters, the device."""
