# What the scripts share. Each sources it from the repository's root:
#
#   . scripts/lib.sh
#   build_shop            .shop/bin/shop is what the sources say; says nothing when it is already
#   go_test FLAG… -- PACKAGE…  go test; in CI a test that fails is run again
#
# Progress goes to standard error: the commands' own output is standard output.

root=$PWD

# need_go ends the script when there is no Go.
need_go() {
  command -v go >/dev/null && return
  echo "${0##*/}: Go is missing. Install Go 1.26 or newer from https://go.dev/dl/ and run again." >&2
  exit 1
}

# build_shop builds the shop command when a file of the repository is newer than the last build.
build_shop() {
  local shop=.shop/bin/shop
  need_go
  mkdir -p .shop/bin
  if [ -x "$shop" ] &&
    [ -z "$(find . \( -name .git -o -name .shop \) -prune -o -newer "$shop" -print 2>/dev/null | head -n 1)" ]; then
    return
  fi
  # Two scripts may build at the same time: each in a folder of its own, and what is built takes
  # its place in one step.
  build_dir=$(mktemp -d .shop/bin/build.XXXXXX)
  # The time before the build counts: what is edited during the build is built the next time.
  : >"$build_dir/began"
  # As the stack builds its programs, so that nothing is compiled twice.
  CGO_ENABLED=0 go_build "the shop command" "$build_dir/shop" ./cmd/shop
  touch -r "$build_dir/began" "$build_dir/shop"
  mv -f "$build_dir/shop" "$shop"
  rm -rf "$build_dir"
}

# go_build WHAT FILE PACKAGE builds a program and shows how far it is. FILE is in $build_dir, which
# goes when the build fails.
go_build() {
  local what=$1 file=$2 package=$3
  build_log=$build_dir/log # with build_pid for the trap, which knows no local variables
  mkdir "$build_log"
  # First what there is to do, which downloads the modules that are missing; then the build.
  {
    go list -deps -f '{{if .Stale}}{{.ImportPath}}{{end}}' "$package" >"$build_log/stale" 2>"$build_log/modules" &&
      : >"$build_log/listed" &&
      exec go build -v -ldflags="-s -w" -o "$file" "$package" >"$build_log/packages" 2>&1
  } &
  build_pid=$!
  # A build that is interrupted here must not go on by itself.
  trap 'kill "$build_pid" 2>/dev/null || true; rm -rf "$build_dir"' EXIT
  show_build "$what"
  if ! wait "$build_pid"; then
    # Without the lines that only report progress.
    cat "$build_log/modules" "$build_log/packages" 2>/dev/null | grep -vE '^(go: downloading .*|[^ :#]+)$' >&2 || true
    echo "${0##*/}: $what was not built" >&2
    exit 1
  fi
  trap - EXIT
}

# show_build WHAT shows how far the build is until it ends: on a terminal one line that is
# rewritten, elsewhere a line every five seconds. A build of a second is not worth a word.
show_build() {
  local what=$1 began=$SECONDS compiling_since='' took text said=0 tty='' every=5
  if [ -t 2 ] && [ "${TERM:-dumb}" != dumb ]; then
    tty=1 every=1
  fi
  while kill -0 "$build_pid" 2>/dev/null; do
    sleep 0.2
    took=$((SECONDS - began))
    if [ -z "$compiling_since" ] && [ -e "$build_log/listed" ]; then
      compiling_since=$SECONDS
    fi
    if ((took >= 1 && said == 0)); then
      echo "building $what (the first time one to two minutes, later seconds)" >&2
      said=1
    fi
    if ((took >= said * every && took >= every)); then
      text=$(printf '%4ds  %s' "$took" "$(build_state "$compiling_since")")
      if [ -n "$tty" ]; then
        printf '\r\033[K%s' "$text" >&2
      else
        echo "$text" >&2
      fi
      said=$((took / every + 1))
    fi
  done
  if [ -n "$tty" ] && ((said > 0)); then
    printf '\r\033[K' >&2
  fi
}

# build_state COMPILING_SINCE says how far the build is, with the time that is left once a fifth
# of the packages says how long one takes.
build_state() {
  local since=$1 total now modules took
  if [ -z "$since" ]; then
    modules=$(lines_of "$build_log/modules")
    if ((modules > 0)); then echo "downloading module $modules"; else echo "looking for what there is to build"; fi
    return
  fi
  total=$(lines_of "$build_log/stale")
  now=$(lines_of "$build_log/packages")
  took=$((SECONDS - since))
  if ((now >= total)); then
    echo "compiled $total packages, linking"
  elif ((took >= 3 && now * 5 >= total)); then
    echo "compiling package $now of $total, about $((took * (total - now) / now + 1))s left"
  else
    echo "compiling package $now of $total"
  fi
}

lines_of() {
  if [ -e "$1" ]; then
    grep -c . "$1" || true
  else
    echo 0
  fi
}

# go_test FLAG… -- PACKAGE… runs `go test`. In CI a test that fails is run again by itself, up to twice. It is
# not when more than three fail, when a data race was found, or when an invariant was broken. .ci/run lists what
# passed only then: it is a fault of the test, or a race of the code, that has to be found all the same.
go_test() {
  local flags=() again
  while [ "$1" != -- ]; do
    flags+=("$1")
    shift
  done
  shift
  if [ "${CI:-}" != true ]; then
    go test ${flags[@]+"${flags[@]}"} "$@"
    return
  fi
  mkdir -p "$root/.shop/bin" "$root/.shop/again"
  [ -x "$root/.shop/bin/gotestsum" ] ||
    (cd "$root/tools" && GOWORK=off CGO_ENABLED=0 go build -o ../.shop/bin/ gotest.tools/gotestsum) || return 1
  again=$(mktemp "$root/.shop/again/XXXXXX")
  "$root/.shop/bin/gotestsum" --format standard-quiet --hide-summary skipped --jsonfile "$again.json" \
    --rerun-fails=2 --rerun-fails-max-failures=3 --rerun-fails-run-root-test --rerun-fails-abort-on-data-race \
    --rerun-fails-report "$again" --packages "$*" -- ${flags[@]+"${flags[@]}"} || return 1
  if [ -s "$again" ] && grep -qE 'invariants are broken|the server ended [0-9]+ deadlocks' "$again.json"; then
    echo "a test that broke an invariant passed when it was run again: that does not count"
    return 1
  fi
  rm -f "$again.json"
}
