"""Virtual machines: how their settings are read, written and applied, their power, their disks and their agent."""
