"""Why a model gives a text its labels: what falls without a word, what a word adds, which documents vote."""
