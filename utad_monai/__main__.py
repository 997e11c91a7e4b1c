"""`python -m utad_monai` is the `utad-monai` command."""

from utad_monai.cli import main

main()
