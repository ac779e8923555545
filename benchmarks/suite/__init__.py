"""All that is measured, as one command: parts with one interface, within a budget, gone on with, compared."""
