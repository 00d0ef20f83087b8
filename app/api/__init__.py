"""Front doors: each parses requests of one protocol, calls the service and renders its answer."""
