"""Examples, their tokens, and the model that learns from them."""
