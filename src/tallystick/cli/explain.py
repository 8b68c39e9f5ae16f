"""`tallystick explain` and `tallystick verify`: why a bill says what it says, and that it still does."""
