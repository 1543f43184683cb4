"""What the network must know of healthy guests: reverse proxy, DNS, Prometheus, and definitions in git."""
