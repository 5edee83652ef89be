"""How fast it is, measured beside its limit: the same workload as a bare loop without an engine."""
