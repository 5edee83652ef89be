"""Audit and replay: what the topics prove, read by anyone with read rights, disturbing no one."""
