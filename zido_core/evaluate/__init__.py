"""Measure methods of enlargement on images whose truth is known: degrade, enlarge, compare."""
