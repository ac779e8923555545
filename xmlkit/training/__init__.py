"""Training: what is read, optimisers, the loop, checkpoints, budgets."""
