"""What every box uses: errors, files, tables, results, progress. Knows nothing of networks or attacks."""
