"""`python -m utad_monai` is the `utad-monai` command."""

from utad_monai.apps.cli import main

main()
