"""The loop that trains: what it does in an epoch, keeps on disk and tells."""
