"""``python -P -m workers worker ...``: Celery's command line with our app.

Celery puts the current folder before all others while it imports an app, and a folder may have a
``tasks.py`` or ``models.py`` of a person. So our app is imported before Celery looks for it, and
``-P`` keeps Python itself from looking there.
"""

import sys

from celery.__main__ import main

import workers.app  # noqa: F401 -- see above

if __name__ == "__main__":
    sys.argv[1:1] = ["-A", "workers.app"]
    main()
