"""How sure a number is: intervals, paired tests, corrections and effect sizes, with the patient as the unit.

Two images, or two landmarks, of one patient are not independent; two patients are. So scores are averaged within a
patient first, and whole patients are drawn or exchanged. What scipy has is scipy's.
"""

from vesalius.statistics.intervals import Interval, Score, compare, hierarchical, interval, paired_difference, table

__all__ = ["Interval", "Score", "compare", "hierarchical", "interval", "paired_difference", "table"]
