"""Who asks: credentials and the identities behind them."""
