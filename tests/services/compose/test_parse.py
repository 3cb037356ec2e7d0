"""What a user writes becomes an edit, or one sentence that says what is wrong and where."""

import pytest

from services.compose.check import check, require_harmless
from services.compose.edit import Edit, Ground, Output
from services.compose.parse import parse_text
from services.errors import OmnimatteError

FULL = """
source: out/demo
frames: [0, 7]
size: 640x384
background: {color: "#203040"}
layers:
  vase: {remove: true}
  boy:
    move: [{frame: 0, value: [0, 0]}, {frame: 7, value: [40, -10], ease: hold}]
    scale: 1.5
    rotate: 15
    anchor: [20, 30]
    opacity: 0.5
    color: {exposure: 1, saturation: 0, contrast: 1.2, hue: 30, tint: "#ff8000"}
    blur: 2
    retime: {offset: 5, speed: 0.5, reverse: true, edge: loop, blend: true}
    stylise: {filter: cartoon}
inserts:
  - {from: other, layer: camel, as: camel2, move: [100, 0]}
order: [camel2, boy]
output: {format: png}
"""


def test_a_whole_edit():
    edit = parse_text(FULL)
    boy = edit.layers["boy"]
    assert edit.layers["vase"].remove and edit.frames == (0, 7) and edit.size == (640, 384)
    assert edit.background == Ground("color", "#203040") and edit.output == Output("png")
    assert boy.move.at(3)[0] == pytest.approx(40 * 3 / 7) and boy.scale.at(0) == (1.5, 1.5)
    assert boy.look.tint == pytest.approx((1, 128 / 255, 0)) and boy.retime.edge == "loop"
    assert edit.inserts[0].label == "camel2" and edit.order[0].front_to_back == ("camel2", "boy")
    assert set(edit.changes) == {"vase", "boy", "camel2"}


@pytest.mark.parametrize("text", ["", "{}", "layers:\n  vase:\n", '{"layers": {}}'])
def test_what_says_nothing_changes_nothing(text):
    edit = parse_text(text)
    assert edit in (Edit(), Edit(layers=edit.layers)) and all(not c.remove for c in edit.layers.values())


@pytest.mark.parametrize(
    ("text", "field", "sentence"),
    [
        ("layers: [", "", "is no YAML"),
        ("[]", "", "the edit must be an object"),
        ("laiers: {}", "laiers", "unknown field 'laiers'; the fields are source, frames"),
        ("layers: {vase: {moove: [1, 2]}}", "layers.vase.moove", "unknown field 'moove'"),
        ("layers: {vase: {move: 3}}", "layers.vase.move", "must be 2 numbers"),
        ("layers: {vase: {move: [a, b]}}", "layers.vase.move", "give a number"),
        ("layers: {vase: {move: [.nan, 1]}}", "layers.vase.move", "give a number"),
        ("layers: {vase: {scale: 0}}", "layers.vase.scale", "give a number from 0.01 to 100"),
        ("layers: {vase: {opacity: 2}}", "layers.vase.opacity", "give a number from 0 to 1"),
        (
            "layers: {v: {rotate: [{frame: 5, value: 1}, {frame: 5, value: 2}]}}",
            "layers.v.rotate[1].frame",
            "put keys in order",
        ),
        ("layers: {v: {rotate: [{frame: -1, value: 1}]}}", "layers.v.rotate[0].frame", "whole number from 0"),
        ("layers: {v: {rotate: [{frame: 1, value: 1, ease: in}]}}", "layers.v.rotate[0].ease", "linear, smooth, hold"),
        ("layers: {v: {retime: {speed: 0}}}", "layers.v.retime.speed", "give a number from 0.001"),
        ("layers: {v: {retime: {edge: bounce}}}", "layers.v.retime.edge", "hold, hide, loop, pingpong"),
        ("layers: {v: {color: {tint: red}}}", "layers.v.color.tint", "write a colour as #rrggbb"),
        ("layers: {v: {stylise: {filter: oil}}}", "layers.v.stylise.filter", "cartoon, edges"),
        ("layers: {v: {stylise: {command: [sh]}}}", "layers.v.stylise.command", '"{input}" and "{output}"'),
        ("layers: {v: {stylise: {}}}", "layers.v.stylise", "exactly one of filter, command, diffusers"),
        ("frames: [5, 2]", "frames", "give the first and the last frame"),
        ("size: big", "size", "write WIDTHxHEIGHT"),
        ("size: 99999x2", "size", "each from 2 to 8192"),
        ("background: blue", "background", "write keep, none, checker"),
        ("background: {color: blue}", "background.color", "#rrggbb"),
        ("background: {color: '#000000', image: a.png}", "background", "exactly one"),
        ("background: none", "background", "the output has no alpha"),
        ("output: {format: gif}", "output.format", "choose one of mp4, webm, prores, hevc, png, exr"),
        ("{background: none, output: {format: mp4, alpha: true}}", "output.alpha", "mp4 (H.264) has no alpha"),
        ("output: {format: png, alpha: true}", "output.alpha", "a background hides it"),
        ("inserts: [{layer: a}]", "inserts[0]", "needs 'from'"),
        ("inserts: [{from: a, layer: b}, {from: c, layer: b}]", "inserts[1].as", "two layers are called 'b'"),
        ("order: [{frame: 0, front_to_back: []}]", "order[0]", "a list of labels"),
        ("order: [{frame: 3, front_to_back: [a]}, {frame: 3, front_to_back: [a]}]", "order[1].frame", "not after"),
        ("order: a", "order", "must be a list"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(text, field, sentence):
    with pytest.raises(OmnimatteError) as caught:
        parse_text(text)
    assert caught.value.field == field and sentence in caught.value.message
    assert "\n" not in caught.value.message and caught.value.exit_code == 2


def test_a_bomb_does_not_explode():
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{b}: &{b} [{', '.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    with pytest.raises(OmnimatteError, match="has an alias"):
        parse_text(bomb)
    with pytest.raises(OmnimatteError, match="more than"):
        parse_text("#" * (1 << 21))


@pytest.mark.parametrize(
    ("text", "field", "sentence"),
    [
        ("layers: {cat: {}}", "layers.cat", "no layer 'cat'; its layers are ball, cup"),
        (
            "layers: {cup: {move: [{frame: 9, value: [0, 0]}]}}",
            "layers.cup.move",
            "key at frame 9, but the clip's last",
        ),
        ("layers: {cup: {blur: [{frame: 9, value: 1}]}}", "layers.cup.blur", "key at frame 9"),
        ("layers: {cup: {retime: {map: [{frame: 9, value: 1}]}}}", "layers.cup.retime.map", "key at frame 9"),
        ("layers: {cup: {retime: {freeze: 8}}}", "layers.cup.retime.freeze", "the clip's last frame is 7"),
        ("frames: [0, 8]", "frames", "the clip's last frame is 7"),
        ("inserts: [{from: other, layer: dog}]", "inserts[0].layer", "other has no layer 'dog'; it has camel"),
        ("inserts: [{from: other, layer: camel, as: cup}]", "inserts[0].as", "a layer 'cup' already"),
        ("order: [cup, dog]", "order", "order names the layer 'dog'"),
        ("order: [{frame: 0, front_to_back: [cup]}, {frame: 8, front_to_back: [cup]}]", "order[1].frame", "frame 8"),
    ],
)
def test_what_the_delivery_does_not_have_is_named(text, field, sentence):
    with pytest.raises(OmnimatteError) as caught:
        check(parse_text(text), labels=["ball", "cup"], frames=8, inserted={"other": ["camel"]})
    assert caught.value.field == field and sentence in caught.value.message


def test_a_server_runs_no_programs():
    for style in ("{command: [sh, '{input}', '{output}']}", "{diffusers: {model: m}}"):
        with pytest.raises(OmnimatteError, match="runs a program, which a server does not do"):
            require_harmless(parse_text(f"layers: {{a: {{stylise: {style}}}}}"))
    require_harmless(parse_text("layers: {a: {stylise: {filter: edges}}}"))
