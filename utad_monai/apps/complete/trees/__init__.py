"""Trees: a completed cohort in the layouts of nnU-Net, BraTS and the Decathlon."""

from utad_monai.apps.complete.trees.forms import CompleteCase, Placer, TreeForm, tree_form
from utad_monai.apps.complete.trees.tree import Tree, write_tree

__all__ = ["CompleteCase", "Placer", "Tree", "TreeForm", "tree_form", "write_tree"]
