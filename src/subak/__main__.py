"""``python -m subak``: the same door as the ``subak`` command."""

from subak.cli.main import main

main()
