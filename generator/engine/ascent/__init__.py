"""Activation maximisation: parametrisations, transforms, regularisers and the optimiser's loop."""
