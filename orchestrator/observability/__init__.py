"""What operators see: structured logs and counters. It is handed values and imports no shell."""
