"""``overstory doctor``: checks everything a run needs, changes nothing, says what to do.

``checks.CHECKS`` lists the checks; each is a function from a Context to a Finding.
"""

from overstory.doctor.command import doctor

__all__ = ["doctor"]
