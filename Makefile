SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build

# What --version shows. Nothing in it depends on who builds where or when, so
# that one commit gives one binary. make BUILD_USER=me sets a value.
VERSION := $(shell cat VERSION)
REVISION := $(shell git rev-parse -q --verify HEAD 2>/dev/null)
BRANCH := $(shell git symbolic-ref --short -q HEAD 2>/dev/null)
BUILD_USER := make
BUILD_DATE := $(shell TZ=UTC git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd 2>/dev/null)

stamp = -X github.com/prometheus/common/version.$(1)=$(2)
LDFLAGS = -s -w \
	$(call stamp,Version,$(VERSION)) \
	$(call stamp,Revision,$(REVISION)) \
	$(call stamp,Branch,$(BRANCH)) \
	$(call stamp,BuildUser,$(BUILD_USER)) \
	$(call stamp,BuildDate,$(BUILD_DATE))

GOTESTSUM = gotest.tools/gotestsum@v1.12.3
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK = golang.org/x/vuln/cmd/govulncheck@v1.5.0
GOSEC = github.com/securego/gosec/v2/cmd/gosec@v2.30.0
# Left out, as they find nothing here that could be wrong in one place only:
# G104 errors that are ignored: an ignored error is assigned to _, but for those of
#      strings.Builder, bytes.Buffer and hashes, which never fail.
# G115 conversions of integers: sizes are bounded by that of a body or file, and what is
#      read is checked; the fuzzers of wire, metric and journal look for the rest.
# G304, G703 names of files from variables: the operator gives them on the command line.
# bench, scripts and internal/pgtest are not part of the program.
GOSECFLAGS = -quiet -exclude=G104,G115,G304,G703 -exclude-dir=bench -exclude-dir=scripts -exclude-dir=pgtest
GOVULNDB ?= https://vuln.go.dev

BINARY ?= dist/pushgateway

IMAGE ?= pushgateway:$(VERSION)
IMAGE_PLATFORMS ?= amd64 arm64 arm/v7 s390x ppc64le riscv64
# The first that works: a docker client may have no engine.
IMAGE_TOOL ?= $(firstword $(foreach tool,docker podman buildah,\
	$(shell $(tool) info >/dev/null 2>&1 && echo $(tool))))
# What make image builds for: this machine's processor, or IMAGE_PLATFORM=arm/v7 and so on.
IMAGE_PLATFORM ?= $(shell go env GOARCH)
# Folder of what images are made from.
IMAGE_DIR ?= dist/build
image_dir = $(IMAGE_DIR)/image-$(subst /,,$(IMAGE_PLATFORM))
COMMIT_TIME := $(shell git log -1 --format=%ct 2>/dev/null)
image_label = -label org.opencontainers.image.$(1)="$(2)"
load_image = $(if $(filter buildah,$(IMAGE_TOOL)),buildah pull -q docker-archive:$(1),$(IMAGE_TOOL) load -q -i $(1))
FUZZTIME ?= 20s

.PHONY: build test test-replicas test-chart test-clients test-image test-packages manifests check bench profile image images run-image check-image-tool release fuzz clean

# The static program, and the empty folder that the image needs. The image's
# user must get at both, whatever the umask.
build:
	install -d -m 755 dist $(dir $(BINARY)) dist/rootfs/pushgateway
	install -d -m 777 dist/rootfs/pushgateway/data
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o $(BINARY) ./cmd/pushgateway
	chmod 755 $(BINARY)

# Up to three tests that fail are run once more, since machines are shared. The summary lists
# them all the same, and what fails once is mended.
test:
	scripts/setup
	$(MAKE) test-chart
	go run $(GOTESTSUM) --format pkgname --rerun-fails=1 --rerun-fails-max-failures=3 --packages=./... -- -timeout 30m

# Runs the examples of docs/CLIENTS.md with the clients that they are for.
test-clients:
	scripts/setup
	go test -count=1 -run '^TestClients' ./test

# The image, and the compose files, with docker, podman and buildah.
test-image:
	scripts/setup
	go test -count=1 -run '^Test(Image|RunImage|Dockerfile|Compose)' ./test

# A release: archives, packages, and their installation.
test-packages:
	scripts/setup
	go test -count=1 -run '^Test(Release|Service)' ./test

# The tests of replicas that share a database, for longer than make test runs them.
test-replicas:
	scripts/setup
	go test -count=1 -timeout 1h -v -run '^TestReplicas' ./test -replicas.for=2m

# The Helm chart has a module of its own, which depends on Helm.
test-chart:
	cd test/chart && go run $(GOTESTSUM) --format pkgname -- -timeout 10m ./...

# Writes what is made from the chart: manifests, the table of values, the chart's copies
# of alerts and dashboard.
manifests:
	cp deploy/prometheus/alerts.yaml deploy/prometheus/recording_rules.yaml deploy/grafana/dashboard.json \
		deploy/helm/prometheus-pushgateway/files/
	go -C test/chart test -count=1 . -update

check:
	@files=$$(gofmt -l .); test -z "$$files" || { echo "gofmt -w these: $$files"; exit 1; }
	@! grep -rnE --include='*_test.go' '^.{141,}' . || { echo "break these lines: they have more than 140 columns"; exit 1; }
	go vet ./...
	go -C test/chart vet ./...
	go run $(STATICCHECK) ./...
	go run $(GOSEC) $(GOSECFLAGS) ./...
	go test -race ./internal/...
	@if curl -sfI --max-time 5 -o /dev/null $(GOVULNDB)/index/db.json.gz; then \
		go run $(GOVULNCHECK) -db $(GOVULNDB) ./...; \
	else \
		echo "govulncheck left out: $(GOVULNDB) cannot be reached"; \
	fi

# Compares with Debian's Pushgateway, or with UPSTREAM=path/to/a/binary.
bench:
	go run ./bench

# The profile of pushes and scrapes in cmd/pushgateway, for which the compiler
# optimizes every build. Take it again after a change of the hot paths.
profile:
	rm -rf dist/profiles
	go run ./bench -only 'push-(rate|latency)|scrape-changed' -profile dist/profiles
	go tool pprof -proto dist/profiles/*.pprof > cmd/pushgateway/default.pgo

# Takes the pictures in docs/screenshots again. Installs Grafana's panel components for one of them.
screenshots:
	scripts/setup
	go test -count=1 -run '^Test(Screenshots|DashboardPicture)$$' ./test -update

# The image that the Dockerfile describes, for Linux. Two builds of one commit are the same,
# whatever tool loads them.
image: check-image-tool
	@GOOS=linux GOARCH=$(firstword $(subst /, ,$(IMAGE_PLATFORM))) GOARM=$(word 2,$(subst /v, ,$(IMAGE_PLATFORM))) \
		$(MAKE) --no-print-directory build BINARY=$(image_dir)/pushgateway
	go run ./scripts/image -out $(image_dir)/image.tar -platform linux/$(IMAGE_PLATFORM) \
		-build-arg BINARY=$(image_dir)/pushgateway -created $(or $(COMMIT_TIME),0) \
		$(call image_label,title,Pushgateway) \
		$(call image_label,description,Holds what short-lived jobs push until Prometheus scrapes it) \
		$(call image_label,version,$(VERSION)) $(call image_label,revision,$(REVISION)) \
		$(call image_label,created,$(BUILD_DATE)) $(call image_label,licenses,Apache-2.0) > $(image_dir)/id
	@$(call load_image,$(image_dir)/image.tar) >/dev/null
	@$(IMAGE_TOOL) tag $$(cat $(image_dir)/id) $(IMAGE)
	@echo "$(IMAGE) is there for $(IMAGE_TOOL)"

# An image for each platform, $(IMAGE)-arm64 and so on, and with podman or buildah a manifest
# list of them. Needs neither emulation nor a network.
images: check-image-tool
	@for platform in $(IMAGE_PLATFORMS); do \
		$(MAKE) --no-print-directory image IMAGE_PLATFORM=$$platform IMAGE=$(IMAGE)-$$(echo $$platform | tr -d /); \
	done
ifneq ($(IMAGE_TOOL),docker)
	@{ $(IMAGE_TOOL) manifest rm $(IMAGE) || $(IMAGE_TOOL) rmi $(IMAGE) || true; } >/dev/null 2>&1
	@$(IMAGE_TOOL) manifest create $(IMAGE) >/dev/null
	@for platform in $(IMAGE_PLATFORMS); do \
		id=$$(sed s/sha256:// $(IMAGE_DIR)/image-$$(echo $$platform | tr -d /)/id); \
		$(IMAGE_TOOL) manifest add $(IMAGE) containers-storage:$$id >/dev/null; \
	done
endif

# Starts the image on port 9091 with the tool that built it, with its data in the volume
# pushgateway-data. buildah runs without volumes: there the data goes with the container.
run-image: check-image-tool
ifeq ($(IMAGE_TOOL),buildah)
	buildah run --isolation chroot $$(buildah from $(IMAGE)) /bin/pushgateway $(RUN_FLAGS)
else
	$(IMAGE_TOOL) run --rm -p 9091:9091 -v pushgateway-data:/pushgateway/data $(IMAGE) $(RUN_FLAGS)
endif

check-image-tool:
	@test -n "$(IMAGE_TOOL)" || { echo "install docker, podman or buildah"; exit 1; }

# Archives, packages, bills of materials, checksums and release notes, in dist/release.
release:
	go run ./scripts/release

# go test runs one fuzzer at a time; a failing one does not hide the others.
fuzz:
	@failed=; \
	for package in $$(go list ./...); do \
		for fuzzer in $$(go test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			go test -run '^$$' -fuzz "^$$fuzzer$$" -fuzztime $(FUZZTIME) $$package || failed="$$failed $$fuzzer"; \
		done; \
	done; \
	test -z "$$failed" || { echo "failed:$$failed"; exit 1; }

clean:
	rm -rf dist
