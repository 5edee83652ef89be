"""Worked examples: sagas with their participants, and the load of the system tests.

Each package has the same three files: `contracts.py` (what saga and participant share), `saga.py`
(the process) and `participants.py` (the services).
"""
