"""What can be seen of a running process from outside: who its work is for, its log lines, its traces."""
