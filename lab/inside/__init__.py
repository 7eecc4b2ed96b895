"""What runs in a machine, with the standard library and `lab.console`; `capture` also asks our checks."""
