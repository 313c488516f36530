"""Tasks on the workers of a Dask cluster: files travel by their content, results come back, versions are the same."""
