"""What users run: commands and what they write."""
