"""What became of every interval, for whoever wants to know: an index of the archive, statements in words, pages and JSON."""
