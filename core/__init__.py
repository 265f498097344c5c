"""Pure decisions: functions of values, without I/O, vendors or clocks."""
