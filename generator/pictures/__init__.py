"""From files to pixels: finding the pictures of a folder, reading their labels, decoding them in batches; and the drawn
world (`drawn`), pictures whose content is known exactly.

What a network does with the pixels does not belong here: mean and standard deviation are applied in `network`."""
