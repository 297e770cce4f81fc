"""What models there are, where their weights are had, what fits a machine, and how they are served."""
