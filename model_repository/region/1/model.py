"""The stage `region` as a Triton model; all that matters is in the adapter."""

from model_repository.adapter import stage_model

TritonPythonModel = stage_model("region")
