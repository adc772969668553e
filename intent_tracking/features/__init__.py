"""Feature declarations: one declaration gives the batch expression, the stream update and the store view."""
