"""What the speed benchmark is made of: servers, a client, pictures, and the machine's limits."""

NEW_TOKENS = 20
"""How many tokens each text has, whatever the model would say: no more and no less."""
