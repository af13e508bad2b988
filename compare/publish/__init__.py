"""The documents of results, written from what was kept of studies, so that no number is typed by hand."""
