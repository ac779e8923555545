"""What is measured of labels beside how they rank: what is left out, what is assigned, label by label."""
