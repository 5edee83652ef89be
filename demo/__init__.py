"""The demo: trips from real flights, booked on a real Kafka, with a worker killed midway."""
