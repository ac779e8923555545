"""A page of runs, comparisons and benchmarks: one file that opens in a browser, alone and offline."""
