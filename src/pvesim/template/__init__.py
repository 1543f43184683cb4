"""Templates that real containers are made from: built once, kept in a cache outside every checkout."""
