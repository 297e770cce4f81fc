"""How much hardware a reasoner takes at a given rate, and how long it lets people wait."""
