"""The model organism: an invented world, the four siblings raised in it, and what proves them."""
