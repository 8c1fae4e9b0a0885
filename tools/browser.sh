#!/bin/sh
# Finds a Chromium for the browser tests, or gets one: from apt when root, else through Playwright.
set -eu
python=$1
for name in chromium chromium-browser google-chrome google-chrome-stable; do
  command -v "$name" >/dev/null 2>&1 && exit 0
done
"$python" - <<'PY' && exit 0
import sys
from pathlib import Path
from playwright.sync_api import sync_playwright
with sync_playwright() as playwright:
    sys.exit(not Path(playwright.chromium.executable_path).exists())
PY
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium && exit 0
fi
if ! "$python" -m playwright install chromium; then
  echo "The browser tests need Chromium. Install it (Debian: sudo apt-get install chromium) and run again." >&2
  exit 1
fi
