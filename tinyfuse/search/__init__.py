"""Choosing bit widths, for each layer or modality, under a budget: measured on the integers, attacks included."""
