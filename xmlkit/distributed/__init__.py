"""One model in several processes, as torchrun starts them: PyTorch's own engine, and how work is split.

All ranks run one program on the same documents. What they have apart is documents below the boundary, which
each encodes some of, and rows of tables, of which each has a run, and if asked for of the encoder's weights.
What all compute alike counts for 1/N of the loss on each, so that every gradient is the sum of all ranks'.
"""
