"""`python -m tallystick.cli`: the program without its console script."""

from tallystick.cli.main import main

main()
