"""What every channel shares: how it says no."""


class Undeliverable(Exception):
    """The channel will not deliver this message, however often it is asked; the text says why and names nobody."""
