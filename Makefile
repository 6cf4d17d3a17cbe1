# make demo: set up and compile the keywords task for a phone.   make test: set up and run the tests.
# make test-system: the tests that drive other programs (sshd, adbd, qemu, Chromium, Node.js, a JVM); they skip without them.
PYTHON ?= python3
VENV   ?= .venv
TORCH  ?= torch==2.13.0
# On Linux, PyPI's torch brings CUDA. For the small CPU build where its index can be reached:
#   make demo TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"
BIN     = $(VENV)/bin
TARGET ?= redmi-7a

.PHONY: demo test test-system lint cards clean

demo: $(VENV)/demo
	$(BIN)/edgecomp compile keywords --target $(TARGET)

test: $(VENV)/test
	$(BIN)/python -m pytest -n 2 --dist loadfile -q -m "not system"

test-system: $(VENV)/test
	$(BIN)/python -m pytest -q -m system

lint: $(VENV)/test
	$(BIN)/ruff check edgecomp tests benchmarks models android_demo

$(VENV)/torch:
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || { echo "edgecomp needs Python 3.11 or newer"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet $(TORCH)
	touch $@

$(VENV)/demo: $(VENV)/torch pyproject.toml
	$(BIN)/pip install --quiet --editable ".[keywords]"
	touch $@

$(VENV)/test: $(VENV)/torch pyproject.toml
	$(BIN)/pip install --quiet --editable ".[test]"
	touch $@ $(VENV)/demo

clean:
	rm -rf $(VENV) build
