"""The model: an encoder, four doors and the losses between them."""
