"""From images and texts to a network's inputs, and from its tokens to text and boxes."""
