"""What every room uses and what torch is not needed for: errors, progress, processes, files and their checksums, the
records of an atlas, its folder (`store`), sprites, the hierarchy of classes, the correspondence of channels.

Nothing here knows a network or a page. A module belongs here only if two rooms use it and it imports no other room."""
