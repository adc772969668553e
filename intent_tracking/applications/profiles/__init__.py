"""Who the shoppers are: segments that keep their names, and traits in words."""
