"""Fulfil an order: stock and money at once, perhaps gift wrap, then capture and ship."""
