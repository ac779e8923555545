"""Corpora: reading, splitting, tokenising, batching. Knows nothing of models."""
