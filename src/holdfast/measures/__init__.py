"""Measures: one file is one measure, found by its file name; they never import each other."""
