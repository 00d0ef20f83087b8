"""The networks of the generating families in torch: an encoder and a decoder of each, as the runtimes execute them.

A family's module has `load(directory, dtype)`, which reads a checkpoint with transformers and returns `Networks`. The
weights are transformers'; the decoders are put together anew, so that one implementation serves all families, keeps
what can be computed once per image out of the step, and converts to OpenVINO.
"""
