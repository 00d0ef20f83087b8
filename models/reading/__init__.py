"""Reading pages: where the text is, in which order, and what it says."""
