"""What is known of labels besides a model: propensities, clusters, which occur together."""
