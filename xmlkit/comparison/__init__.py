"""Sets of plugins side by side: trained alike, scored document by document, compared with their doubt."""
