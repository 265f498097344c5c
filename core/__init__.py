"""Pure decisions: functions of values, without I/O, vendor libraries or clocks."""
