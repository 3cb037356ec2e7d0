"""Where training clips come from: the four categories of the paper (section 3.4), and the samples cut from them."""
