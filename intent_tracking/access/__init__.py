"""Who may call the service: keys, their scopes, and the file that holds their hashes."""
