"""Figures of the pages: where things stand in them and what their axes say. Templates and styles give them colour."""
