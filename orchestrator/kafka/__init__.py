"""Adapters to Kafka: the only package that imports its client library.

`base` holds the ports and their values; the rest of the house uses nothing else at import time.
"""
