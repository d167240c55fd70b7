"""Ranges that numbers among the options of layers and models have, checked before anything stumbles over them."""

from __future__ import annotations

from graphkit.errors import UserError

__all__ = ["check_rates", "check_sizes"]


def check_sizes(**sizes: int) -> None:
    """Refuse what is no whole number from 1 upwards.

    Raises:
        UserError: for such an option, named.

    Example:
        >>> check_sizes(num_layers=2, hidden_channels=64)
    """
    for name, value in sizes.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UserError(f"{name} is {value!r}, expected a whole number from 1 upwards")


def check_rates(**rates: float) -> None:
    """Refuse shares to drop outside [0, 1).

    Raises:
        UserError: for such an option, named.

    Example:
        >>> check_rates(dropout=0.5)
    """
    for name, value in rates.items():
        if not 0 <= value < 1:
            raise UserError(f"{name} is {value!r}, expected a number from 0 to below 1")
