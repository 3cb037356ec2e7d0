"""What is put under load: a control plane on fakes, the embedded stack, or one that runs somewhere."""
