"""The recurrent captioners' network, its configuration, vocabulary and pixels: what serving and training share."""
