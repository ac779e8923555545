"""What is known of labels besides a model: their propensities."""
