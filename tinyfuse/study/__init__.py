"""From subjects and samples to rows: the matrix, its stages, and their resumable run."""
