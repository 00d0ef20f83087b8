"""The parts that families build their networks of, in torch: encoders, decoders and embeddings.

The weights are those of transformers' modules. The decoders are assembled anew: one implementation serves all families,
computes cross-attention keys and values once for each image instead of at each step, and converts to OpenVINO.
"""
