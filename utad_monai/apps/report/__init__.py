"""How results reach a reader."""

from utad_monai.apps.report.summary_table import show_summary, summary_lines

__all__ = ["show_summary", "summary_lines"]
