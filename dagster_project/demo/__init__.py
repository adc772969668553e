"""The main job as one command: the whole loop on a simulated shop, or the same graph on public logs."""
