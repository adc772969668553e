"""The intent model: encoder, heads, tokenization, training, calibration and export."""
