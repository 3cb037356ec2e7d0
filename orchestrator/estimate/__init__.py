"""What a job would take, told from what jobs have taken before."""
