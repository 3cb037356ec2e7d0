"""An ExtendScript for Adobe After Effects: imports the files, sets alpha and rate, and stacks the layers.

Names are those of After Effects' scripting API (Project.importFile, FootageSource.alphaMode, ItemCollection.addComp).
Where the order changes, a layer is cut, and its pieces lie at their own depths.
Must not know: other programs' formats.
"""

from __future__ import annotations

import json
from typing import Any

from services.finish.projects.plan import Project

FILENAME = "after_effects.jsx"

_SCRIPT = """\
// Run it in After Effects with File > Scripts > Run Script File. It lies beside the files that it imports.
(function () {
  var plan = __PLAN__;
  var here = new File($.fileName).parent;
  app.beginUndoGroup("omnimatte");
  var footage = {};
  for (var i = 0; i < plan.media.length; i++) {
    var media = plan.media[i];
    var file = new File(here.fsName + "/" + media.path);
    if (!file.exists) {
      alert("The file " + media.path + " is not beside this script.");
      app.endUndoGroup();
      return;
    }
    var options = new ImportOptions(file);
    options.sequence = media.sequence;
    var item = app.project.importFile(options);
    item.name = media.name;
    item.pixelAspect = plan.pixelAspect;
    item.mainSource.conformFrameRate = plan.fps;
    if (media.label) {
      item.mainSource.alphaMode = AlphaMode.STRAIGHT;
    } else {
      item.mainSource.alphaMode = AlphaMode.IGNORE;
    }
    footage[media.label] = item;
  }
  var comp = app.project.items.addComp(
    plan.name, plan.width, plan.height, plan.pixelAspect, plan.frames / plan.fps, plan.fps
  );
  comp.displayStartTime = plan.start / plan.fps;
  // Each new layer lies on top of those before it.
  for (var j = 0; j < plan.layers.length; j++) {
    var part = plan.layers[j];
    var layer = comp.layers.add(footage[part.label]);
    layer.name = part.name;
    layer.startTime = 0;
    layer.inPoint = part.first / plan.fps;
    layer.outPoint = (part.last + 1) / plan.fps;
    layer.audioEnabled = part.label === "";
  }
  comp.openInViewer();
  app.endUndoGroup();
})();
"""


def document(project: Project) -> str:
    """The script; everything that a user chose enters as JSON in plain ASCII."""
    media = [
        {
            "label": f"_{one.label}" if one.label else "",
            "name": one.name,
            "path": _first(project, one.path),
            "sequence": one.sequence,
        }
        for one in project.media.values()
    ]
    layers: list[dict[str, Any]] = [{"label": "", "name": "background", "first": 0, "last": project.frames - 1}]
    for level in project.levels:
        layers += [{"label": f"_{s.label}", "name": s.label, "first": s.first, "last": s.last} for s in level]
    plan = {
        "name": project.name,
        "width": project.width,
        "height": project.height,
        "pixelAspect": float(project.pixel_aspect),
        "frames": project.frames,
        "fps": float(project.fps),
        "varyingRate": project.varying,
        "start": project.start,
        "media": media,
        "layers": layers,
    }
    return _SCRIPT.replace("__PLAN__", json.dumps(plan, ensure_ascii=True, indent=2))


def _first(project: Project, path: str) -> str:
    """A sequence is imported by its first file."""
    return path.replace("%05d", f"{project.start:05d}")
