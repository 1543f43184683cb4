"""The control plane: keeps clusters as their sources declare them. It knows ports, never the adapters behind them."""
