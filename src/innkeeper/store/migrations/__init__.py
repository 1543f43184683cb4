"""How the tables came to be, step by step. What stands here was run somewhere: it is added to, never changed."""
