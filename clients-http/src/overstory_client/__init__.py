"""Questions about image sets of any size, asked of an Overstory service over HTTP.

``Client`` and ``AsyncClient`` have the same methods.

    >>> from overstory_client import Client
    >>> with Client() as client:
    ...     job = client.submit(["receipts/"], ask="What was bought?")
    ...     client.wait(job)
    ...     print(client.result(job).answer)
"""

from overstory_client._async.client import AsyncClient
from overstory_client._sync.client import Client
from overstory_client.errors import (
    Conflict,
    NotAuthorized,
    NotFound,
    OverstoryError,
    Refused,
    ServiceAway,
    ServiceFailed,
    TooBusy,
    TooLarge,
    WrongUsage,
)
from overstory_client.files import ServerPath
from overstory_client.retries import Retries
from overstory_client.values import Changed, Event, Result, Share, Status, Submitted, Unit

__all__ = [
    "AsyncClient",
    "Changed",
    "Client",
    "Conflict",
    "Event",
    "NotAuthorized",
    "NotFound",
    "OverstoryError",
    "Refused",
    "Result",
    "Retries",
    "ServerPath",
    "ServiceAway",
    "ServiceFailed",
    "Share",
    "Status",
    "Submitted",
    "TooBusy",
    "TooLarge",
    "Unit",
    "WrongUsage",
    "__version__",
]
__version__ = "0.2.0"
