"""`python -m asgi_quicktunnel` is the command `asgi-quicktunnel`."""

from asgi_quicktunnel.cli import main

if __name__ == "__main__":
    main()
