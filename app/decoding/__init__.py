"""Decoders in processes of their own: a file built to hang, to crash or to exhaust memory ends one of them, not the
service.

Each process is started afresh rather than forked, for a fork copies the locks of other threads as they stand. It talks
through a socket and ends when the other end is gone, so that a killed service leaves none behind. It answers with JSON
and pixels, never with a pickle: whoever took over a decoder could put code into that.
"""
