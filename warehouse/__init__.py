"""The only code that touches storage: lake, SQL files, claims, journal, images, export."""

from warehouse.lake import Warehouse

__all__ = ["Warehouse"]
