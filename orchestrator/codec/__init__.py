"""Bytes to values and back, without I/O: the engine's records, users' payloads, limits.

`wire` has the records, `payloads` the users' types, `limits` what is checked before either,
`refusals` every reason for which bytes are refused, `files` the schemas as files.
"""
