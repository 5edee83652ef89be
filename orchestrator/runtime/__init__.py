"""The imperative shell: one loop, one thread, one transaction at a time."""
