"""The command line: `tallystick <noun> <verb>`. One noun a file; every command speaks HTTP."""
