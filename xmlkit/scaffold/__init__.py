"""`xmlkit plugin new`: a plugin to begin with, as a distribution that works as it is."""
