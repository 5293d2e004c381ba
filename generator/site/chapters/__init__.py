"""The chapters of the site. A chapter is one file that says when an atlas has it and writes its pages, and one row of
`registry.py`. Larger chapters have more files, for the records, the figures and the tables of their pages. What all
pages of channels show is read in `site/reading`, not here."""
