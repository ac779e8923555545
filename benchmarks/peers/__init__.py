"""What one would otherwise take: each peer in its own environment, on the same documents, by our metrics."""
