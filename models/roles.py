"""The models that the service asks for by name, each for what it does. This module imports nothing, so that a command
line that only names them starts at once."""

CAPTIONER_ORDER = ("blip-large", "florence-2-base", "blip-base", "kosmos-2", "efficientnet-gru")
"""`auto` means the first of these captioners whose weights are on this machine. The last comes with the project."""
TAGGER = "t5-tags"
"""The tagger of texts that `auto` means if it is on this machine."""
READER = "rapidocr"
"""The reader of requests that name none."""
SCRIPT_READER = "tesseract"
"""The reader of the scripts that READER does not know."""
SEGMENTER = "rapidocr-lines"
"""What cuts a page into lines for models that read one."""
