"""The methods: one file each. A method takes numbers of a layer and yields pictures or columns; it writes nothing."""
