"""The site, written from computed atlases alone: reading an atlas for the pages (`reading`), drawings (`figures`), one
file per chapter (`chapters`), and the templates' renderer.

Nothing here imports torch or computes a statistic that the atlas should hold."""
