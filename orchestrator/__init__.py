"""Durable sagas on Kafka."""
