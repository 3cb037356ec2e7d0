"""Procedural materials of the sample clip, so that not one texture file has to be licensed.

Why: the clip ships with the project, hence everything that is seen in it is computed here from noise and
Voronoi patterns. This module knows Blender's shader nodes and nothing of objects, cameras or files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import bpy

Stops = Sequence[tuple[float, tuple[float, float, float]]]


@dataclass(frozen=True)
class Graph:
    """One material's node tree with the few constructors that the recipes below need."""

    material: Any

    @property
    def tree(self) -> Any:
        return self.material.node_tree

    def node(self, kind: str, *, settings: dict[str, Any] | None = None, **inputs: Any) -> Any:
        """A node of `kind`; `inputs` are values or sockets, spaces in socket names written as `_`."""
        node = self.tree.nodes.new(kind)
        for name, value in (settings or {}).items():
            setattr(node, name, value)
        for name, value in inputs.items():
            self.connect(value, node.inputs[name.replace("_", " ")])
        return node

    def connect(self, value: Any, socket: Any) -> None:
        if isinstance(value, bpy.types.NodeSocket):
            self.tree.links.new(value, socket)
        else:
            socket.default_value = value

    def ramp(self, value: Any, stops: Stops) -> Any:
        """The colour socket of a ramp through `stops` (position, linear RGB)."""
        node = self.node("ShaderNodeValToRGB", Fac=value)
        elements = node.color_ramp.elements
        while len(elements) < len(stops):
            elements.new(0.5)
        for element, (position, colour) in zip(elements, stops, strict=True):
            element.position, element.color = position, (*colour, 1.0)
        return node.outputs["Color"]

    def mix(self, factor: Any, first: Any, second: Any, *, blend: str = "MIX") -> Any:
        """The colour socket of two colours mixed; colours are sockets or linear RGB triples."""
        node = self.node("ShaderNodeMix", settings={"data_type": "RGBA", "blend_type": blend})
        self.connect(factor, node.inputs[0])
        for value, socket in ((first, node.inputs[6]), (second, node.inputs[7])):
            self.connect((*value, 1.0) if isinstance(value, tuple) else value, socket)
        return node.outputs[2]

    def math(self, operation: str, *operands: Any) -> Any:
        node = self.node("ShaderNodeMath", settings={"operation": operation})
        for value, socket in zip(operands, node.inputs, strict=False):
            self.connect(value, socket)
        return node.outputs[0]

    def coordinates(self, scale: tuple[float, float, float], *, of: str = "Object") -> Any:
        source = self.node("ShaderNodeTexCoord").outputs[of]
        return self.node("ShaderNodeMapping", Vector=source, Scale=scale).outputs["Vector"]

    def noise(self, vector: Any, scale: float, *, detail: float = 3.0, distortion: float = 0.0) -> Any:
        node = self.node("ShaderNodeTexNoise", Vector=vector, Scale=scale, Detail=detail, Distortion=distortion)
        return node.outputs["Fac"]

    def bump(self, height: Any, *, strength: float, distance: float) -> Any:
        return self.node("ShaderNodeBump", Height=height, Strength=strength, Distance=distance).outputs["Normal"]

    def finish(self, shader: Any) -> Any:
        """Plug the shader socket into the material output and hand the material back."""
        output = self.node("ShaderNodeOutputMaterial")
        self.tree.links.new(shader, output.inputs["Surface"])
        return self.material


def new_graph(name: str) -> Graph:
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    material.node_tree.nodes.clear()
    return Graph(material)


def emission(name: str, colour: tuple[float, float, float]) -> Any:
    """A flat colour, for the pass that draws object masks."""
    graph = new_graph(name)
    return graph.finish(graph.node("ShaderNodeEmission", Color=(*colour, 1.0)).outputs[0])


def wet_wood() -> Any:
    """Oak boards under a film of water: matte where they have dried, a mirror where they are wet."""
    graph = new_graph("wet wood")
    place = graph.coordinates((1.0, 1.0, 1.0))
    boards = graph.node(
        "ShaderNodeTexBrick",
        settings={"offset": 0.37},
        Vector=place,
        Color1=(0.0, 0.0, 0.0, 1.0),
        Color2=(1.0, 1.0, 1.0, 1.0),
        Scale=1.0,
        Mortar_Size=0.012,
        Mortar_Smooth=0.4,
        Brick_Width=7.0,
        Row_Height=0.82,
    )
    # Every board gets its own piece of the noise field, or the grain would run on across the seams.
    board = graph.node("ShaderNodeCombineXYZ", Z=graph.math("MULTIPLY", boards.outputs["Color"], 9.0))
    shifted = graph.node("ShaderNodeVectorMath", settings={"operation": "ADD"})
    graph.connect(place, shifted.inputs[0])
    graph.connect(board.outputs[0], shifted.inputs[1])
    stretched = graph.node("ShaderNodeMapping", Vector=shifted.outputs[0], Scale=(0.32, 3.6, 1.0))
    grain_at = stretched.outputs[0]
    rings = graph.noise(grain_at, 1.5, detail=3.0, distortion=1.1)
    fibres = graph.noise(grain_at, 11.0, detail=3.0)
    grain = graph.math("ADD", graph.math("MULTIPLY", rings, 0.72), graph.math("MULTIPLY", fibres, 0.28))
    wood = graph.ramp(
        grain,
        [
            (0.32, (0.030, 0.012, 0.005)),
            (0.45, (0.100, 0.042, 0.016)),
            (0.54, (0.185, 0.088, 0.036)),
            (0.66, (0.280, 0.148, 0.066)),
        ],
    )
    tone = graph.ramp(boards.outputs["Color"], [(0.0, (0.72, 0.68, 0.66)), (1.0, (1.12, 1.06, 1.0))])
    toned = graph.mix(1.0, wood, tone, blend="MULTIPLY")
    seamed = graph.mix(boards.outputs["Fac"], toned, (0.012, 0.007, 0.004))
    wet = graph.noise(place, 0.75, detail=1.0)
    gloss = graph.ramp(wet, [(0.38, (0.03, 0.03, 0.03)), (0.62, (0.11, 0.11, 0.11))])
    # No bump here: its three look-ups per hit cost a third of the render and hardly show under the coat.
    shader = graph.node(
        "ShaderNodeBsdfPrincipled",
        Base_Color=seamed,
        Roughness=0.42,
        Coat_Weight=1.0,
        Coat_Roughness=gloss,
        Coat_IOR=1.75,
    )
    return graph.finish(shader.outputs[0])


def glazed_vase(height: float) -> Any:
    """Pale stoneware: celadon glaze running over a cobalt shoulder, with a little mottling."""
    graph = new_graph("glazed vase")
    place = graph.coordinates((1.0, 1.0, 1.0))
    level = graph.math("DIVIDE", graph.node("ShaderNodeSeparateXYZ", Vector=place).outputs["Z"], height)
    run = graph.noise(graph.coordinates((1.0, 1.0, 0.25)), 6.0, detail=3.0)
    edge = graph.math("ADD", level, graph.math("MULTIPLY", graph.math("SUBTRACT", run, 0.5), 0.16))
    glaze = graph.ramp(
        edge,
        [
            (0.02, (0.20, 0.13, 0.085)),
            (0.07, (0.42, 0.44, 0.37)),
            (0.44, (0.36, 0.47, 0.43)),
            (0.56, (0.035, 0.12, 0.24)),
            (0.80, (0.014, 0.050, 0.150)),
            (1.00, (0.10, 0.19, 0.26)),
        ],
    )
    speckle = graph.ramp(graph.noise(place, 26.0, detail=2.0), [(0.30, (0.45, 0.36, 0.28)), (0.40, (1.0, 1.0, 1.0))])
    mottled = graph.mix(0.8, glaze, speckle, blend="MULTIPLY")
    throwing = graph.noise(graph.coordinates((0.2, 0.2, 9.0)), 3.0, detail=0.0)
    shader = graph.node(
        "ShaderNodeBsdfPrincipled",
        Base_Color=mottled,
        Roughness=0.30,
        Coat_Weight=0.8,
        Coat_Roughness=0.07,
        Normal=graph.bump(throwing, strength=0.15, distance=0.04),
    )
    return graph.finish(shader.outputs[0])


def orange_peel() -> Any:
    """Dimpled peel, paler round the poles, so that its rolling can be seen."""
    graph = new_graph("orange peel")
    place = graph.coordinates((1.0, 1.0, 1.0))
    pores = graph.node("ShaderNodeTexVoronoi", settings={"feature": "F1"}, Vector=place, Scale=21.0).outputs["Distance"]
    blotches = graph.noise(place, 3.0, detail=4.0)
    peel = graph.ramp(
        blotches, [(0.30, (0.62, 0.135, 0.006)), (0.52, (0.80, 0.235, 0.010)), (0.72, (0.86, 0.36, 0.03))]
    )
    pole = graph.math("ABSOLUTE", graph.node("ShaderNodeSeparateXYZ", Vector=place).outputs["Z"])
    stalk = graph.ramp(pole, [(0.372, (0.0, 0.0, 0.0)), (0.385, (1.0, 1.0, 1.0))])
    coloured = graph.mix(stalk, peel, (0.10, 0.13, 0.02))
    shader = graph.node(
        "ShaderNodeBsdfPrincipled",
        Base_Color=coloured,
        Roughness=0.36,
        Coat_Weight=0.25,
        Coat_Roughness=0.2,
        Normal=graph.bump(pores, strength=0.3, distance=0.02),
    )
    return graph.finish(shader.outputs[0])


def _bokeh(graph: Graph, place: Any, *, scale: float, radius: float, rarity: float) -> Any:
    """Brightness of scattered soft discs: what sunlit leaves become far behind the focal plane."""
    cells = graph.node(
        "ShaderNodeTexVoronoi",
        settings={"voronoi_dimensions": "2D"},
        Vector=place,
        Scale=scale,
        Randomness=0.5,
    )
    disc = graph.node(
        "ShaderNodeMapRange",
        settings={"interpolation_type": "SMOOTHSTEP"},
        Value=cells.outputs["Distance"],
        From_Min=radius,
        From_Max=radius * 0.82,
    ).outputs[0]
    chance = graph.node("ShaderNodeSeparateColor", Color=cells.outputs["Color"]).outputs[0]
    lit = graph.math("MAXIMUM", graph.math("SUBTRACT", chance, rarity), 0.0)
    return graph.math("MULTIPLY", disc, graph.math("DIVIDE", lit, 1.0 - rarity))


def blurred_garden(strength: float) -> Any:
    """A hedge in evening sun, already out of focus: blurring it in the camera would cost more samples."""
    graph = new_graph("blurred garden")
    place = graph.coordinates((1.0, 1.0, 1.0))
    mass = graph.noise(place, 0.22, detail=2.5, distortion=0.6)
    leaves = graph.ramp(
        mass,
        [
            (0.30, (0.010, 0.022, 0.009)),
            (0.45, (0.035, 0.075, 0.018)),
            (0.56, (0.110, 0.170, 0.035)),
            (0.70, (0.360, 0.360, 0.110)),
        ],
    )
    # Neighbouring cell centres are at least 0.5 apart, so discs up to radius 0.25 are never cut by a cell.
    large = _bokeh(graph, place, scale=0.38, radius=0.25, rarity=0.40)
    small = _bokeh(graph, place, scale=0.72, radius=0.22, rarity=0.55)
    glow = graph.mix(graph.math("MULTIPLY", large, 0.38), leaves, (0.50, 0.52, 0.16))
    glints = graph.mix(graph.math("MULTIPLY", small, 0.45), glow, (1.0, 0.84, 0.46))
    # The foot of the hedge is in shade, which keeps the far half of the wet table dark enough for reflections.
    height = graph.node("ShaderNodeSeparateXYZ", Vector=place).outputs["Y"]
    shade = graph.node("ShaderNodeMapRange", Value=height, From_Min=-1.5, From_Max=3.5, To_Min=0.30)
    lit = graph.mix(1.0, glints, shade.outputs[0], blend="MULTIPLY")
    shader = graph.node("ShaderNodeEmission", Color=lit, Strength=strength)
    # Seen and reflected, but not sampled as a lamp: sun and sky light the scene with far less noise.
    graph.material.cycles.emission_sampling = "NONE"
    return graph.finish(shader.outputs[0])
