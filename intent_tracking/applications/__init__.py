"""What a shop does with the tracked intent: one package an application, none of which knows another.

What an application learns is an artifact (`artifacts`), named in the release file beside the intent model, loaded by
the service and switched with it.
"""
