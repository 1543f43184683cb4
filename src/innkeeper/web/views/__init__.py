"""What pages show, made from what is known: values in, values out, no I/O and no clock."""
