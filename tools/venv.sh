#!/bin/sh
# Makes the virtual environment .venv with the Python given, or says what is missing.
set -eu
python=$1
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  echo "Visavis needs Python 3.11 or newer; \"$python\" is $("$python" --version 2>&1 || echo missing)." >&2
  echo "Install one and name it: make run PYTHON=python3.12" >&2
  exit 1
fi
[ -x .venv/bin/python ] && exit 0
if ! "$python" -m venv .venv; then
  rm -rf .venv
  echo "Python could not make a virtual environment. On Debian and Ubuntu: apt-get install python3-venv" >&2
  exit 1
fi
