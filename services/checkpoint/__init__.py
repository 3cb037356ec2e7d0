"""Files of weights: what is in one (`header`, `config`: no torch), its tensors (`files`), into a network (`loading`).

Must not know: any network; each gives its own names.
"""
