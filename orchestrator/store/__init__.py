"""Local stores of a shard: a cache of its changelog, on disk (RocksDB) or in memory."""
