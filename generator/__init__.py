"""Residual Atlas: a trained residual network and a folder of pictures become a browsable atlas of its features.

Everything flows one way: profile → network + pictures → scan → pictures of units → store → pages → site.
Importing this package imports no torch: the site part works without it.
"""

__version__ = "0.1.0"
