"""The nearest peer with remote participants: Restate, each step a call of another service."""
