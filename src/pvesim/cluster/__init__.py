"""The simulated cluster: its state and the rules that change it; no I/O."""
