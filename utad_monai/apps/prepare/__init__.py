"""From what the scanner gave to a cohort that the rest of the program can use."""
