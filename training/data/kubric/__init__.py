"""Rendered scenes of tumbling things, with every variant rendered too (paper section 3.4, Kubric).

Blender's module wants numpy < 2, so the command lives in an environment of its own, made by `make blender`, or by hand:

    python3.11 -m venv .venv-bpy && .venv-bpy/bin/pip install 'bpy==4.5.15' 'numpy<2' pybullet
    .venv-bpy/bin/python -m training.data.kubric.render --seeds 0:60 SCENES_DIR

Seeds from 1000 on are held out for evaluation. `shapes`, `sampling`, `physics` and `pack` run without Blender.
"""
