"""What is measured while a run goes on: figures, processes, sizes, and the spans of every job."""
