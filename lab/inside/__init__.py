"""What runs in a machine: the standard library and `lab.console` only, as root, as the first process."""
