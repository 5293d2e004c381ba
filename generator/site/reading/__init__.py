"""A computed atlas as the pages need it: its layers, channels, measures and relations."""
