"""Surfaces of floors, walls and things as Blender materials. Knows shader nodes and nothing of scenes or files."""

from __future__ import annotations

from typing import Any

from training.data.kubric.sampling import Light, Surface
from training.sample_clip.materials import Graph, new_graph


def _pattern(graph: Graph, surface: Surface, place: Any) -> Any:
    """The colour socket of the surface's pattern."""
    first, second = surface.colours
    scale = surface.scale
    if surface.pattern == "checker":
        board = graph.node(
            "ShaderNodeTexChecker", Vector=place, Color1=(*first, 1.0), Color2=(*second, 1.0), Scale=scale
        )
        return board.outputs["Color"]
    if surface.pattern == "voronoi":
        cells = graph.node("ShaderNodeTexVoronoi", Vector=place, Scale=scale).outputs["Distance"]
        return graph.ramp(cells, [(0.15, first), (0.6, second)])
    if surface.pattern in ("planks", "bricks"):
        long, joint = (4.0, 0.01) if surface.pattern == "planks" else (0.6, 0.04)
        blocks = graph.node(
            "ShaderNodeTexBrick",
            Vector=place,
            Color1=(*first, 1.0),
            Color2=(*second, 1.0),
            Mortar=(*(0.3 * c for c in second), 1.0),
            Scale=scale,
            Mortar_Size=joint,
            Brick_Width=long,
            Row_Height=0.35,
        )
        grain = graph.noise(graph.coordinates((0.4, 5.0, 1.0)), 2.0 * scale)
        shade = graph.ramp(grain, [(0.3, (0.65, 0.65, 0.65)), (0.7, (1.0, 1.0, 1.0))])
        return graph.mix(1.0, blocks.outputs["Color"], shade, blend="MULTIPLY")
    if surface.pattern == "stripes":
        return graph.ramp(
            graph.node("ShaderNodeTexWave", Vector=place, Scale=0.5 * scale).outputs["Fac"],
            [(0.45, first), (0.55, second)],
        )
    if surface.pattern in ("noise", "marble"):
        twist = 2.0 if surface.pattern == "marble" else 0.2
        cloud = graph.noise(place, scale, detail=5.0, distortion=twist)
        return graph.ramp(cloud, [(0.38, first), (0.62, second)])
    return None


def make(name: str, surface: Surface) -> Any:
    """The material of a surface."""
    graph = new_graph(name)
    place = graph.coordinates((1.0, 1.0, 1.0))
    colour = _pattern(graph, surface, place) or (*surface.colours[0], 1.0)
    coat_roughness: Any = 0.05
    coat: Any = surface.coat
    if surface.pattern in ("planks", "bricks", "checker", "marble", "noise", "voronoi") and surface.coat == 1.0:
        # Puddles: the film of water is not everywhere.
        wet = graph.noise(place, 0.6 * surface.scale, detail=1.0)
        coat_roughness = graph.ramp(wet, [(0.4, (0.03, 0.03, 0.03)), (0.65, (0.2, 0.2, 0.2))])
    shader = graph.node(
        "ShaderNodeBsdfPrincipled",
        Base_Color=colour,
        Roughness=surface.roughness,
        Metallic=surface.metallic,
        Transmission_Weight=surface.transmission,
        Coat_Weight=coat,
        Coat_Roughness=coat_roughness,
        Coat_IOR=1.9,
    ).outputs[0]
    if surface.mirror:
        glass = graph.node("ShaderNodeBsdfAnisotropic", Color=(0.9, 0.9, 0.9, 1.0), Roughness=0.04).outputs[0]
        both = graph.node("ShaderNodeMixShader", Fac=surface.mirror)
        graph.connect(shader, both.inputs[1])
        graph.connect(glass, both.inputs[2])
        shader = both.outputs[0]
    return graph.finish(shader)


def index_and_distance() -> Any:
    """Emits (pass index, distance from the camera, 0): one material that overrides all others draws masks and depth."""
    graph = new_graph("index and distance")
    index = graph.node("ShaderNodeObjectInfo").outputs["Object Index"]
    distance = graph.node("ShaderNodeCameraData").outputs["View Distance"]
    both = graph.node("ShaderNodeCombineXYZ", X=index, Y=distance)
    return graph.finish(graph.node("ShaderNodeEmission", Color=both.outputs[0]).outputs[0])


def sky(world: Any, light: Light) -> None:
    """Clouded vertical gradient between the light's two sky colours."""
    world.use_nodes = True
    graph = Graph(world)
    background = world.node_tree.nodes["Background"]
    towards = graph.node("ShaderNodeTexCoord").outputs["Generated"]
    height = graph.node("ShaderNodeSeparateXYZ", Vector=towards).outputs["Z"]
    cloud = graph.math("MULTIPLY", graph.noise(towards, 3.0), 0.6)
    graph.connect(graph.ramp(graph.math("ADD", height, cloud), [(0.2, light.sky[1]), (0.9, light.sky[0])]),
                  background.inputs["Color"])  # fmt: skip
    background.inputs["Strength"].default_value = light.sky_strength
