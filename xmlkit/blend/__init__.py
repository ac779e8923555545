"""Ensembles: several ways of knowing, one answer."""
