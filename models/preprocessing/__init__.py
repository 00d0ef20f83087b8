"""What is done to inputs before a network sees them: pixels, tokens, and boxes written as tokens."""
