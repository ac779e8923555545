"""Tables of the pages, drawn from the results: what a page asks for, and how each kind of result reads."""
