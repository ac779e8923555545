"""Models behind HTTP: programs ask in JSON, or as they ask Annif; who asks at once shares batches."""
