"""Model families: one module for each architecture. A module with a `MODELS` tuple adds them to the registry."""
