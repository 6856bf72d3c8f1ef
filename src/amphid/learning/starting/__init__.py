"""Where weights start from, and how fast each layer of them moves."""
