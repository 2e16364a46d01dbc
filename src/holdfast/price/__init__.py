"""From readings to cost: breach, selection on `search`, cost vector, dollars. Pure functions."""
