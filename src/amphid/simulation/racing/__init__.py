"""Networks whose cells compute with the times at which signals arrive."""
