"""A sentence encoder in plain NumPy and with ufuse, and the demo that compares them."""
