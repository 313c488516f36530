"""What an adversary may do: norms, balls, boxes, masks, code grids, projection, audit."""
