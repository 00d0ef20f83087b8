"""Storage of uploaded images."""
