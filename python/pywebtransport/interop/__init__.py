"""What tests implementations of WebTransport against each other: an interop server, and Devious Baton from both sides."""

from .baton import Terms
from .checks import CHECKS, Check, CheckFailedError, run_checks
from .game import Game, Leg, Move
from .server import create_app, echo

__all__ = ["CHECKS", "Check", "CheckFailedError", "Game", "Leg", "Move", "Terms", "create_app", "echo", "run_checks"]
