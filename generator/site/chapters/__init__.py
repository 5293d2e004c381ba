"""The narrative's pages, a chapter a file: each reads an atlas and gives what its template shows."""
