"""How results reach a reader."""

from utad_monai.apps.report.page import show_summary, summary_lines

__all__ = ["show_summary", "summary_lines"]
