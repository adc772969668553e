"""What a shop learned on a day: intents, funnels, unmet searches, rising words, what was not understood, what is asked.

A report shows no word, search, theme, question or item that fewer than `InsightsPolicy.least_shoppers` shoppers have,
and no id; beside them it counts sessions. So an erasure has nothing to find in it.
"""
