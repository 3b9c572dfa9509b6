"""The grammar of the demo model's stories: words, phrases, plots, and the writer that joins them."""
