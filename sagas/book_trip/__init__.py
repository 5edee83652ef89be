"""Book a trip: a seat, a room, the payment, and last of all the ticket."""
