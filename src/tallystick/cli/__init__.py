"""The command line: `tallystick <noun> <verb>`."""
