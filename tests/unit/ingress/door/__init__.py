"""What every request passes: routes, keys, rates, admission, answers."""
