"""A computed atlas as the pages need it: its layers, channels, statistics (`measures`) and relations between layers."""
