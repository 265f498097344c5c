from overstory.cli import main

main()
