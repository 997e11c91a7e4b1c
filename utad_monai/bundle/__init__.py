"""Bundle configs: where they are, running them, and which are trusted."""
