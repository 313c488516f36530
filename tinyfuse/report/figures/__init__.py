"""The figures of the pages, each from plain values to a matplotlib figure."""
