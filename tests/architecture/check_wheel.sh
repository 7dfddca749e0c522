#!/bin/sh
# Builds the wheel, puts it alone beside the dependencies, and starts it from an empty folder.
set -eu
python=$1
case $python in /*) ;; *) python=$PWD/$python ;; esac
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$python" -m build --quiet --wheel --outdir "$scratch/dist" .
"$python" -m pip install --quiet --disable-pip-version-check --no-deps --target "$scratch/site" "$scratch"/dist/*.whl
cd "$scratch"
export PYTHONPATH="$scratch/site"
"$python" -c "
import reclora_cli, pathlib
from reclora_cli import recipe
here = pathlib.Path(reclora_cli.__file__)
assert here.is_relative_to(pathlib.Path('site').resolve()), here
assert recipe.recipes_folder().is_relative_to(here.parent), recipe.recipes_folder()
recipe.load('ml-1m', method='reclora')
from reclora_cli.cli.report.page import render
from reclora_cli.stages.report import WorkspaceReport
assert '</html>' in render(WorkspaceReport('ws', '', [], []))
"
"$python" -c "from reclora_cli.cli.app import main; main()" --help > help.txt
grep -q "finetune" help.txt
echo "the wheel starts: $(ls dist)"
