"""What is built and served as Bentos."""
