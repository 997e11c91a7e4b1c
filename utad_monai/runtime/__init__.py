"""What every part of the project runs on: files, locks, signals, workers, processes."""
