"""Where the images that come are kept."""
