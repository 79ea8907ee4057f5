# Each target is one `cargo xtask` command; `setup` installs what they need on a fresh Debian or Ubuntu machine that has Rust.

BUILD_PACKAGES := bison ca-certificates debian-archive-keyring flex gcc libc6-dev libseccomp-dev make openssh-client pkg-config xz-utils
TEST_PACKAGES := busybox-static dnsmasq-base iproute2 nftables openssl util-linux
# Services, which tests start themselves: installing them starts nothing.
TEST_SERVICES := docker-registry
BENCH_PACKAGES := mmdebstrap
# What `make run` boots: a disk that keeps everything, and a port for the first web server.
VM_OPTIONS ?= --state-disk 4G --port 8080:8080
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

.PHONY: help run image test lint bench bench-engine setup setup-test setup-bench clean

help:
	@echo 'make run    build Coracle and boot it in QEMU; ends at its serial console (Ctrl-] leaves it)'
	@echo 'make image  build kernel, initrd, system image and ISO into dist/'
	@echo 'make test   run every check: format, clippy, unit, process and VM tests'
	@echo 'make lint   run format check and clippy only'
	@echo 'make bench  compare the boot with Debian'
	@echo 'make bench-engine  compare System Docker with dockerd'
	@echo 'make clean  remove everything that was built or downloaded'

run: image
	cargo xtask vm run $(VM_OPTIONS)

image: setup
	cargo xtask image

test:
	.ci/run

lint: setup
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

bench: image setup-bench
	cargo run --quiet --release --package coracle-boot-bench

bench-engine: image
	cargo run --quiet --release --package coracle-engine-bench

clean:
	rm -rf target dist .cache

setup:
	@$(call install,$(BUILD_PACKAGES))

setup-test: setup
	@$(call install,$(TEST_PACKAGES))
	@$(call install_stopped,$(TEST_SERVICES))
	@command -v docker > /dev/null || { $(call install,docker.io); }

setup-bench: setup
	@$(call install,$(BENCH_PACKAGES))

# Installs the packages that are missing, if any.
define install
missing=; \
for package in $(1); do \
	[ "$$(dpkg-query -W -f '$${db:Status-Status}' $$package 2> /dev/null)" = installed ] || missing="$$missing $$package"; \
done; \
if [ -n "$$missing" ]; then \
	echo "installing:$$missing"; \
	command -v apt-get > /dev/null || { echo "this is no Debian or Ubuntu: install the equivalents of$$missing yourself" >&2; exit 1; }; \
	$(SUDO) apt-get -qq update && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends $$missing; \
fi
endef

# Installs services without starting them, now or at the next boot (invoke-rc.d(8) asks policy-rc.d).
define install_stopped
if [ "$$(dpkg-query -W -f '$${db:Status-Status} ' $(1) 2> /dev/null)" != "$(foreach package,$(1),installed )" ]; then \
	policy=/usr/sbin/policy-rc.d; \
	[ -e $$policy ] && policy= || printf '#!/bin/sh\nexit 101\n' | $(SUDO) tee $$policy > /dev/null; \
	[ -z "$$policy" ] || $(SUDO) chmod 755 $$policy; \
	( $(call install,$(1)) ); result=$$?; \
	[ -z "$$policy" ] || $(SUDO) rm -f $$policy; \
	[ ! -d /run/systemd/system ] || $(SUDO) systemctl disable --quiet $(1); \
	exit $$result; \
fi
endef
