"""The pure core: what a saga does, as functions over values.

Standard library only. No clock, no randomness, no I/O, no logging: time and bytes come in as
arguments, and everything that the world must do comes out as values.
"""
