"""Trees: a completed cohort in the layouts of nnU-Net, BraTS and the Decathlon."""

from utad_monai.completion.trees.complete_case import CompleteCase
from utad_monai.completion.trees.forms import TreeForm, tree_form
from utad_monai.completion.trees.placing import Placer
from utad_monai.completion.trees.tree import Tree, write_tree

__all__ = ["CompleteCase", "Placer", "Tree", "TreeForm", "tree_form", "write_tree"]
