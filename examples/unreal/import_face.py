"""Imports a Live Link Face recording as a Level Sequence. Runs inside the Unreal Editor.

visavis animate speech.wav /path/Mia.csv

In the editor's console, with the plug-ins "Python Editor Script" and "Live Link Face Importer" on:
py import_face.py /path/Mia.csv
"""

import sys
from pathlib import Path

import unreal  # type: ignore[import-not-found]  # only there inside the editor

FOLDER = "/Game/Visavis"

if len(sys.argv) != 2 or not Path(sys.argv[1]).is_file():
    raise SystemExit(f"py import_face.py /path/Mia.csv: there is no file {' '.join(sys.argv[1:])!r}")
task = unreal.AssetImportTask()
task.filename = sys.argv[1]
task.destination_path = FOLDER
task.automated = True
task.replace_existing = True
task.save = True
unreal.AssetToolsHelpers.get_asset_tools().import_asset_tasks([task])

if not task.imported_object_paths:
    raise SystemExit(f"{sys.argv[1]} was not imported; is the plug-in 'Live Link Face Importer' on?")
unreal.log(f"Imported {list(task.imported_object_paths)}")
