"""``webtransport serve``: an application of somebody's."""

import argparse
import importlib
import logging
import sys
import traceback

from pywebtransport.app import ServerApp

from .arguments import CommandError, Commands, add_command, add_listener
from .listening import certificate, serve
from .reload import run_again

__all__ = ["add", "load"]

_LEVELS = ("debug", "info", "warning", "error", "critical")


def add(commands: Commands) -> None:
    """Add the command."""
    description = (
        "Run an application.\n\n"
        "MODULE:APP is a ServerApp, as in chat:app for the app of chat.py. Its configuration holds but for what is\n"
        "given here. SIGINT and SIGTERM end it well: clients are asked to end first."
    )
    parser = add_command(commands, "serve", _run, description)
    parser.add_argument("app", metavar="MODULE:APP", help="where the application is")
    add_listener(parser)
    parser.set_defaults(host=None, port=None)
    parser.add_argument("--dev", action="store_true", help="make a certificate, and serve a page to try it with")
    parser.add_argument("--reload", action="store_true", help="start anew when a Python file in this directory changes")
    parser.add_argument("--log-level", choices=_LEVELS, default="info", help="what is logged to standard error (default: info)")


def load(name: str) -> ServerApp:
    """The application that is called so.

    Raises:
        CommandError: There is no such application; the text says what there is instead.
    """
    module_name, colon, attribute = name.partition(":")
    if not colon or not module_name or not attribute:
        raise CommandError(f"not a MODULE:APP: {name!r}")
    sys.path.insert(0, "")  # as python -m does
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            raise CommandError(f"there is no module {error.name!r} here, nor installed") from error
        raise CommandError(f"the module {module_name!r} needs one that is not installed: {error.name}", 1) from error
    except Exception as error:
        line = traceback.extract_tb(error.__traceback__)[-1]
        what = f"{type(error).__name__}: {error} ({line.filename}:{line.lineno})"
        raise CommandError(f"the module {module_name!r} cannot be imported: {what}", 1) from error
    try:
        app = getattr(module, attribute)
    except AttributeError:
        apps = [key for key, value in vars(module).items() if isinstance(value, ServerApp)]
        hint = f"; it has {', '.join(apps)}" if apps else ""
        raise CommandError(f"the module {module_name!r} has no {attribute!r}{hint}") from None
    if not isinstance(app, ServerApp):
        raise CommandError(f"{name} is not a ServerApp: {app!r}")
    return app


def _run(arguments: argparse.Namespace) -> int:
    logging.basicConfig(level=arguments.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if arguments.reload:
        return run_again()
    app = load(arguments.app)
    config = app.server.config
    host = config.bind_host if arguments.host is None else arguments.host
    port = config.bind_port if arguments.port is None else arguments.port
    if arguments.dev:
        if arguments.certfile is not None or arguments.keyfile is not None:
            raise CommandError("--dev makes a certificate: --certfile and --keyfile are for servers without it")
        app.run(host, port, dev=True)
    elif arguments.certfile is None and arguments.keyfile is None:
        if config.certfile is None:
            raise CommandError("the application has no certificate: --certfile and --keyfile give it one, and --dev makes one")
        serve(app, host, port)
    else:
        with certificate(arguments) as own:
            app.server.use_certificate(own.certfile, own.keyfile)
            serve(app, host, port)
    return 0
