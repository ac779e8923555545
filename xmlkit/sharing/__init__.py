"""Models for others: what of a run is given away, the card that tells of it, the way to the hub."""
