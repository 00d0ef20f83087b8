"""Decodes images and PDFs in worker processes, so that a file built to hang, to crash or to exhaust memory ends a
worker and not the service.

- `documents`: a file as pages.
- `pool`: which worker decodes which file, and how many decode at once.
- `process`: the service's side of one worker.
- `protocol`: the messages between the two.
- `worker`: the program that a worker runs; `images` and `pdf` are its decoders.
- `budget`: the memory that decoded images may take in the service.

A worker is started as a new program and not forked, because a fork copies the locks of other threads in whatever state
they are. It answers with JSON and pixels and never with a pickle, which could run code in the service once a file has
taken over a decoder. It ends when its connection does, so that a killed service leaves no workers behind.
"""
