"""What a shop learned today: intents, funnels, unmet searches, rising words."""
