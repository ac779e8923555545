"""The plugins that come with xmlkit; each is one file on the public API, as anyone could write it."""
