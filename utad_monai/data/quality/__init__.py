"""What is wrong or doubtful about a case."""
