"""The gradient of single units at the input, under guided, deconvnet and plain rules, within the unit's cone."""
