"""Opening a finished run, labelling texts and scoring a test split."""
