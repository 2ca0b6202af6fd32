"""An application framework on top of `web_transport`."""

from importlib.metadata import version

__version__ = version("webtransport-python")
