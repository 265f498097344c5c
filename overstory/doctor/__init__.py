"""``overstory doctor``: looks at everything a run needs, changes nothing, says what to do.

``checks.CHECKS`` is the table; a check is a function of the context to a finding.
"""

from overstory.doctor.command import doctor

__all__ = ["doctor"]
