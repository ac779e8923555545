"""Training: optimisers, the loop, averaging, what a run folder holds."""
