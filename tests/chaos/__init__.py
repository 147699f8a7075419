"""Chaos: identity providers at work, everything behind them failing, and a model that judges."""
