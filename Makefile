# svr_nb: every target does its own set-up in .venv; nothing else has to be installed by hand.
#   make lab     opens JupyterLab on the tour
#   make demo    the tour without a browser; PHOTO=path [MASK=path] CATEGORY=horse runs it on your own photograph
#   make test    everything that must pass
SHELL   := /bin/bash
PYTHON  ?= python3
BIN     := .venv/bin
CATEGORY ?= horse
SYSTEM  ?= ssl3d
OUT     ?= _demo
SEEDS   ?= 11 12 13
# The networks and pictures here are small: one thread each is fastest.
export OMP_NUM_THREADS ?= 1
export JUPYTER_PLATFORM_DIRS := 1
.PHONY: help setup lab demo test check-export check-links links notebooks pytest lint export outputs readme hooks evidence evidence-lem-labels evidence-ssl3d evidence-lem evidence-umr evidence-agt evidence-agt-flow evidence-tars-sdf evidence-tars evidence-tars-tiny evidence-tars-pictures evidence-tars-walks evidence-lem-alignment evidence-lem-attention evidence-lem-small evidence-umr-rounds evidence-umr-cars evidence-agt-queue evidence-mirrored-readings evidence-ssl3d-room clean

help:
	@sed -n '2,5s/^# *//p' Makefile

.venv/.ready: constraints.txt settings.ini setup.py
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt torch==2.13.0 --editable '.[dev]'
	@if git rev-parse --git-dir >/dev/null 2>&1; then git config core.hooksPath .githooks; fi
	@touch .venv/.ready

setup: .venv/.ready

lab: setup
	$(BIN)/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) --ServerApp.root_dir=. \
		--LabApp.default_url=/lab/tree/nbs/index.ipynb $(LAB_OPTIONS)

demo: setup
	$(BIN)/svr_nb demo --out $(OUT) --system $(SYSTEM) --category $(CATEGORY) $(if $(PHOTO),--photo "$(PHOTO)") $(if $(MASK),--mask "$(MASK)")

# pytest runs every notebook too (tests/test_every_notebook.py); `make notebooks` does so with nbdev.
test: check-export check-links lint pytest

check-export: setup
	$(BIN)/python .ci/notebooks.py check

check-links: setup
	$(BIN)/python .ci/book.py check

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy

notebooks: setup
	OMP_NUM_THREADS=1 $(BIN)/nbdev_test --n_workers 2 --timing

pytest: setup
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 --dist loadfile

links: setup
	$(BIN)/python .ci/book.py write

export: setup
	$(BIN)/nbdev_export
	$(BIN)/python .ci/notebooks.py clean

outputs: setup
	$(BIN)/python .ci/notebooks.py outputs $(NOTEBOOKS)

readme: setup
	$(BIN)/python .ci/notebooks.py readme

hooks: setup

# Every claim of the papers with its verdict: measures what the rows in _evidence/ lack (days of one core without the stored rows,
# which it starts from), prints the table and writes the page. QUICK=1: one seed of the cheapest arms anew, beside what is stored, in
# ten minutes. SYSTEMS="LEM UMR": only these.
evidence: setup
	$(BIN)/python -m svr_nb.experiments.claims --run _evidence$(if $(QUICK),-quick --quick) $(if $(SYSTEMS),--systems $(SYSTEMS)) --page _evidence/claims.md

# Ablations, each with its table: rows that the file holds already are not run again.
.PHONY: evidence-plane
# PHOTOS=folder measures how well the shipped horse covers photographs; without it the ablations are trained on fresh seeds.
evidence-ssl3d: setup
	$(BIN)/python -m svr_nb.experiments.ssl3d $(if $(PHOTOS),--photos "$(PHOTOS)",--seeds $(SEEDS))

# Two readings of a chair, and who is believed; forty minutes of one core.
evidence-mirrored-readings: setup
	$(BIN)/python -m svr_nb.experiments.mirrored_readings --seeds 11 12 13

# Clouds whose points keep a distance from the first step; twenty-five minutes of one core.
evidence-ssl3d-room: setup
	$(BIN)/python -m svr_nb.experiments.ssl3d --collections aeroplanes "two-tone cars" --arms full "elbow room" --seeds 11 12 13 --out ssl3d_room.json

# The first table of the lesson. PHOTOS=folder trains on photographs with silhouettes and measures the last forty by name.
evidence-umr: setup
	$(BIN)/python -m svr_nb.experiments.umr $(if $(PHOTOS),--photos "$(PHOTOS)" --seeds 0,--arms full "no parts" "no cycle" "no L_sv" "no L_sp" "hard parts" adversary --seeds 21 22 23)

# Cars of five and of six parts; forty minutes of one core.
evidence-umr-cars: setup
	$(BIN)/python -m svr_nb.experiments.umr --cars --six-parts --seeds 5 6 7 --out umr_cars.json

# A third round with old and with refined part maps, and a finer mesh; two hours of one core.
evidence-umr-rounds: setup
	$(BIN)/python -m svr_nb.experiments.umr --arms full "round 3" "round 3, refined" "642 vertices" "642 vertices, freer" --seeds 21 22 23 --out umr_rounds.json

# Every arm of the first table; two seeds of labels and collapse, a sixth of what attention is compared with. Over an hour of one core.
evidence-lem: setup
	$(BIN)/python -m svr_nb.experiments.lem --seeds 21 22 23 24 25 --arms rec rec+adv rec+ssa rec+adv+ssa "rec+adv+ssa, one scale" "rec+adv+ssa, stage 2" rec+adv+csm "rec+adv+csm, mlp" "rec+adv+csm, 1 : 1" "rec+adv+csm, 10 : 1" rec+ssa+csm all
	$(BIN)/python -m svr_nb.experiments.lem --seeds 21 22 --arms labels collapse
	$(BIN)/python -m svr_nb.experiments.lem --seeds 26 --arms rec+adv rec+adv+ssa

# How crowds of codes lie before and after adaptation.
evidence-lem-alignment: setup
	$(BIN)/python -m svr_nb.experiments.lem --alignment --seeds 21 22 23 --arms rec rec+adv rec+adv+csm all --out lem_alignment.json

# Attention early and late, on a mean of places, on a finer source, on a frozen trunk; half an hour of one core.
evidence-lem-attention: setup
	$(BIN)/python -m svr_nb.experiments.lem --seeds 21 22 23 --arms tenth "tenth, ssa" third "third, ssa" mean "mean, ssa" "mean, ssa, fine" "frozen trunk" "frozen trunk, ssa" --out lem_attention.json

# And with things that take at most a fifth of the frame; ten minutes of one core.
evidence-lem-small: setup
	$(BIN)/python -m svr_nb.experiments.lem --objects small --seeds 21 22 23 --arms rec+adv rec+adv+ssa --out lem_small.json

# LEM's mapping with labels from elsewhere, from fresh and from finished networks. FOLDER keeps data and networks between runs.
# Without --arms it would train the other labellers, too, of which no rows are stored.
LEM_LABELS = -m svr_nb.experiments.lem_labels --data $(or $(FOLDER),_evidence/lem)
evidence-lem-labels: setup
	$(BIN)/python $(LEM_LABELS) --arms "no mapping" codes "true labels" "85 % right, new each time" "85 % right, fixed" "70 % right, new each time" "70 % right, fixed" "55 % right, new each time" "55 % right, fixed" "frozen copy" "certain half" "all, certain half"
	$(BIN)/python $(LEM_LABELS) --start finished --arms "no mapping" "certain half"

# The ablation of the texture stage; with PHOTOS=folder the two-dimensional proxy on photographs instead.
evidence-agt: setup
	$(BIN)/python -m $(if $(PHOTOS),svr_nb.experiments.warp_recovery --photos "$(PHOTOS)" --seeds $(SEEDS),svr_nb.experiments.agt --umr svr_nb/checkpoints/umr-bird)

# A map that sees the flow, plain descent, a larger crowd of drawings: an hour and a half of one core.
evidence-agt-flow: setup
	$(BIN)/python -m svr_nb.experiments.agt --umr svr_nb/checkpoints/umr-bird --arms full no-D_var no-FID "map sees flow" "plain descent, -D_var" "plain descent, map sees flow" "queue, texture alone, paint" --out agt_flow.json

# The Frechet loss, one change after the other: three quarters of an hour of one core.
evidence-agt-queue: setup
	$(BIN)/python -m svr_nb.experiments.agt --umr svr_nb/checkpoints/umr-bird --arms full no-FID queue "queue, texture alone" "queue, texture alone, paint" --seeds 31 32 33 --out agt_queue.json

# Shapes with holes in the plane: three minutes of one core.
evidence-plane: setup
	$(BIN)/python -m svr_nb.experiments.plane_shapes

# Chairs from exact distances: without and with point features, and with a correction.
OUT_TARS ?= tars_direct.json
evidence-tars-sdf: setup
	$(BIN)/python -m svr_nb.experiments.direct_sdf --seeds $(SEEDS) --arms "k = 0" "k = 4" correction --out $(OUT_TARS)

# Chairs from silhouettes: stage 1 once per seed, then k = 0 and k = 4 from it. Seven minutes of an H100 for three seeds side by side; on a CPU, hours.
# The two forms of its table with one seed are others: python -m svr_nb.experiments.tars --form walk paper --steps 2100 1600 --seeds 21 --out tars_silhouettes.json
evidence-tars: setup
	$(BIN)/python -m svr_nb.experiments.tars --models tars_models --data tars_models --out tars_silhouettes.json

# The same at level 0 on the small network: four minutes of one core for a seed; and on a sixth of its pictures.
TARS_TINY = -m svr_nb.experiments.tars --form "level 0, tiny" --preset tiny --unseen 60 --models tars_models
evidence-tars-tiny: setup
	$(BIN)/python $(TARS_TINY) --pictures 1500 --out tars_tiny.json

evidence-tars-pictures: setup
	$(BIN)/python $(TARS_TINY) --pictures 250 1500 --features 4 --out tars_pictures.json

# Who teaches the shape: samples along the chord, or the LSTM's walk.
evidence-tars-walks: setup
	$(BIN)/python -m svr_nb.experiments.tars --form chord "walk, least" "walk, warm" --preset tiny --pictures 1500 --unseen 60 --features 4 --models tars_models --out tars_walks.json

# What the shipped networks score on fresh pictures, beside what one would want; LOOKS=folder also draws them.
.PHONY: scores
scores: setup
	$(BIN)/python -m svr_nb.experiments.shipped $(NETWORKS) $(if $(LOOKS),--looks "$(LOOKS)")

# The picture that opens the README: Muybridge's frames, each fitted by itself, turned. MOTION="--systems umr --size 320"
.PHONY: motion
motion: setup
	$(BIN)/python -m svr_nb.experiments.horse_in_motion $(MOTION)

# Every piece of work beside its anchor: a table of ratios, and how time and memory grow. BENCH="--quick", "--parts drawing start", "--out rows.json"
.PHONY: bench
bench: setup
	$(BIN)/python -m svr_nb.experiments.speed $(BENCH)

# Everything worth doing on a GPU that somebody lends, in one command; the same line again goes on. It needs no set-up of its own:
# make gpu PARTS="tests bench costs trainings" MINUTES=30 OUT=folder TRAININGS="umr-bird lem/rec+adv/24=5" AT_ONCE=5 PHOTOS=folder
MINUTES ?= 30
.PHONY: gpu
gpu:
	$(or $(wildcard $(BIN)/python),$(PYTHON)) -m svr_nb.experiments.borrowed_gpu --minutes $(MINUTES) \
		$(if $(PARTS),--parts $(PARTS)) $(if $(TRAININGS),--trainings $(TRAININGS)) $(if $(AT_ONCE),--at-once $(AT_ONCE)) \
		$(if $(PHOTOS),--photos "$(PHOTOS)") $(if $(filter file,$(origin OUT)),,--out "$(OUT)") $(GPU)

clean:
	rm -rf _demo _docs _evidence _evidence-quick _proc build dist *.egg-info

# Assignments. `make release SEED=2027` writes the students' notebooks into _release/, and a zip; `make grade
# ASSIGNMENT=spatial_attention SUBMISSIONS=submitted SEED=2027` writes marks and feedback into _grades/;
# `make validate ASSIGNMENT=path.ipynb` runs the visible tests of a student's own notebook.
.PHONY: release grade validate
COURSE := PYTHONPATH=nbs/assignments $(BIN)/python -m _grading
release: setup
	$(COURSE) release $(ASSIGNMENT) --out $(or $(RELEASE),_release) $(if $(SEED),--seed $(SEED))

grade: setup
	@test -n "$(ASSIGNMENT)" || { echo "Say which: make grade ASSIGNMENT=name SUBMISSIONS=folder. Assignments: $(notdir $(wildcard nbs/assignments/_source/*))"; exit 1; }
	$(COURSE) grade $(ASSIGNMENT) --submissions $(or $(SUBMISSIONS),submitted) --out $(or $(GRADES),_grades) \
		$(if $(SEED),--seed $(SEED)) $(if $(WEAK),--weak)

validate: setup
	@test -n "$(ASSIGNMENT)" || { echo "Say which notebook: make validate ASSIGNMENT=path.ipynb"; exit 1; }
	$(COURSE) validate $(ASSIGNMENT)

# The site, from the stored outputs of the notebooks: none is run, and nothing is fetched once the packages are there.
.PHONY: docs docs-serve docs-frames docs-check
.venv/.docs-ready: constraints.txt settings.ini setup.py | setup
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt torch==2.13.0 --editable '.[dev,docs]'
	@touch .venv/.docs-ready

docs: .venv/.docs-ready
	$(BIN)/python docs/build.py

# PORT=8000
docs-serve:
	@test -f _docs/html/index.html || $(MAKE) docs
	$(BIN)/python docs/build.py serve $(if $(PORT),--port $(PORT))

# Draws the frames of live panels, notebook by notebook (hours; may be stopped and goes on later). NOTEBOOKS=nbs/... draws these only,
# FIRST=1 those of the components, the tour and the lessons; JOBS=4 draws four notebooks at a time.
docs-frames: .venv/.docs-ready
	$(BIN)/python docs/frames.py $(if $(FIRST),--first) $(if $(JOBS),--jobs $(JOBS)) $(NOTEBOOKS)

# The built site in a headless browser without a network: every page once (crawl.py goes on where it was stopped), then what moves.
docs-check: docs
	$(BIN)/python docs/crawl.py
	SVR_SITE=1 $(BIN)/pytest -q tests/docs
