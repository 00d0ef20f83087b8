"""Train and evaluate captioners. Imports the models; nothing of the models or the service imports this."""
