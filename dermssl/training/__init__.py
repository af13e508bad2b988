"""What trains: optimisers and schedules, the trainer, checkpoints, draws as functions of counters, the device."""
