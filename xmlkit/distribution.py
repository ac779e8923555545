"""What pip calls xmlkit; what is imported, and the command, are `xmlkit`."""

DISTRIBUTION = "xmlkit-xmc"  # on PyPI `xmlkit` is somebody else's
FORMER = "xmlkit"  # its name in runs that were trained before it had this one
