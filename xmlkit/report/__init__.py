"""A page of runs and comparisons: one file that opens in a browser, alone and offline."""
