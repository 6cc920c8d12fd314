// Package scripts tests the common part of the scripts, with a fake go command.
package scripts

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// pretend is a fake go command: it records each build and prints and writes what the real command
// would. BROKEN makes it fail as a compiler does. SLOW is the number of builds that must have begun
// before one ends.
const pretend = `#!/usr/bin/env bash
case $1 in
list)
  echo "go: downloading example.com/a v1.0.0" >&2
  printf 'internal/abi\neventshop.example/cmd/shop\n'
  ;;
build)
  echo built >>builds
  echo internal/abi >&2
  if [ -n "${BROKEN:-}" ]; then
    printf '# eventshop.example/cmd/shop\ncmd/shop/main.go:3:2: undefined: x\n' >&2
    exit 1
  fi
  while [ -n "${SLOW:-}" ] && [ "$(grep -c . builds)" -lt "$SLOW" ]; do sleep 0.05; done
  while [ "$1" != -o ]; do shift; done
  printf '#!/bin/sh\npwd\n' >"$2" && chmod +x "$2"
  ;;
esac
`

// checkout is a repository that contains only the scripts.
func checkout(t *testing.T) (dir string, env []string) {
	t.Helper()
	dir, bin := t.TempDir(), t.TempDir()
	for _, name := range []string{"lib.sh", "shop"} {
		b, err := os.ReadFile(filepath.Join("..", "..", "scripts", name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "scripts", name), string(b))
	}
	write(t, filepath.Join(bin, "go"), pretend)
	return dir, append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

func builds(t *testing.T, dir string) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "builds"))
	if err != nil {
		t.Fatal(err)
	}
	// The record is newer than its build: the next run would take it for a source.
	if err := os.Chtimes(filepath.Join(dir, "builds"), time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	past := time.Unix(2, 0)
	if err := os.Chtimes(dir, past, past); err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(b), "built")
}

// TestShopIsBuiltWhenASourceIsNewer also checks that the shop runs in the caller's folder, and that
// only its own output is on standard output.
func TestShopIsBuiltWhenASourceIsNewer(t *testing.T) {
	t.Parallel()
	dir, env := checkout(t)
	elsewhere := t.TempDir()
	run := func() {
		t.Helper()
		cmd := exec.Command(filepath.Join(dir, "scripts", "shop"))
		cmd.Dir, cmd.Env = elsewhere, env
		out, err := cmd.Output()
		if err != nil || strings.TrimSpace(string(out)) != elsewhere {
			t.Fatalf("%v: %q, want %q", err, out, elsewhere)
		}
	}
	for i, c := range []struct {
		name string
		do   func()
		want int
	}{
		{"the first time", func() {}, 1},
		{"nothing changed", func() {}, 1},
		{"a source changed", func() { write(t, filepath.Join(dir, "pkg", "x.go"), "package pkg") }, 2},
		{"nothing changed again", func() {}, 2},
		{"a source went", func() {
			if err := os.Remove(filepath.Join(dir, "pkg", "x.go")); err != nil {
				t.Fatal(err)
			}
		}, 3},
		{"the state of a shop changed", func() { write(t, filepath.Join(dir, ".shop", "state.json"), "{}") }, 3},
		{"the program went", func() {
			if err := os.Remove(filepath.Join(dir, ".shop", "bin", "shop")); err != nil {
				t.Fatal(err)
			}
		}, 4},
	} {
		c.do()
		run()
		if got := builds(t, dir); got != c.want {
			t.Fatalf("%d %s: %d builds, want %d", i, c.name, got, c.want)
		}
	}
}

// A failed build prints why, without lines of progress, and is repeated by the next run.
func TestABuildThatFailsSaysWhy(t *testing.T) {
	t.Parallel()
	dir, env := checkout(t)
	for range 2 {
		cmd := exec.Command(filepath.Join(dir, "scripts", "shop"))
		cmd.Env = append(env, "BROKEN=1")
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "cmd/shop/main.go:3:2: undefined: x\n") {
			t.Errorf("%v: %s", err, out)
		}
		for _, progress := range []string{"go: downloading", "internal/abi"} {
			if strings.Contains(string(out), progress) {
				t.Errorf("%q among the errors:\n%s", progress, out)
			}
		}
	}
	if got := builds(t, dir); got != 2 {
		t.Errorf("%d builds, want 2", got)
	}
	if left, err := os.ReadDir(filepath.Join(dir, ".shop", "bin")); err != nil || len(left) > 0 {
		t.Errorf("left in .shop/bin: %v, %v", left, err)
	}
}

func TestWithoutGoTheScriptSaysWhereToGetIt(t *testing.T) {
	t.Parallel()
	dir, _ := checkout(t)
	bin := t.TempDir()
	for _, name := range []string{"bash", "dirname"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(filepath.Join(bin, "bash"), filepath.Join(dir, "scripts", "shop"))
	cmd.Env = []string{"PATH=" + bin}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "https://go.dev/dl/") {
		t.Errorf("%v: %s", err, out)
	}
}

// Several scripts build at once: all run, and leave only the program behind.
func TestScriptsThatBuildAtTheSameTime(t *testing.T) {
	t.Parallel()
	const scripts = 3
	dir, env := checkout(t)
	var wg sync.WaitGroup
	for range scripts {
		wg.Go(func() {
			cmd := exec.Command(filepath.Join(dir, "scripts", "shop"))
			cmd.Env = append(env, "SLOW="+strconv.Itoa(scripts))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	wg.Wait()
	wantProgramOnly(t, dir)
}

// wantProgramOnly checks that a build has left nothing else.
func wantProgramOnly(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(filepath.Join(dir, ".shop", "bin"))
	if err != nil || len(left) != 1 || left[0].Name() != "shop" {
		t.Errorf("in .shop/bin: %v, %v", left, err)
	}
}

// A source that is edited during a build is built the next time.
func TestASourceThatIsEditedDuringABuild(t *testing.T) {
	t.Parallel()
	dir, env := checkout(t)
	shop := func(more ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(dir, "scripts", "shop"))
		cmd.Env = append(env, more...)
		return cmd
	}
	first := shop("SLOW=2")
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	for tick := time.Tick(10 * time.Millisecond); ; <-tick {
		if b, err := os.ReadFile(filepath.Join(dir, "builds")); err == nil && len(b) > 0 {
			break
		}
		if t.Context().Err() != nil {
			t.Fatal("no build")
		}
	}
	write(t, filepath.Join(dir, "pkg", "x.go"), "package pkg")
	write(t, filepath.Join(dir, "builds"), "built\nedited\n") // lets the first build end
	if err := first.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(filepath.Join(dir, "builds"), time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if out, err := shop().CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got := builds(t, dir); got != 2 {
		t.Errorf("%d builds, want 2", got)
	}
}

func TestALinkToTheScript(t *testing.T) {
	t.Parallel()
	dir, env := checkout(t)
	elsewhere := t.TempDir()
	script := filepath.Join(dir, "scripts", "shop")
	relative, err := filepath.Rel(elsewhere, script)
	if err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"absolute": script, "relative": relative, "link to a link": "relative"} {
		link := filepath.Join(elsewhere, name)
		if err := os.Symlink(to, link); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"absolute", "relative", "link to a link"} {
		cmd := exec.Command(filepath.Join(elsewhere, name))
		cmd.Dir, cmd.Env = elsewhere, env
		if out, err := cmd.Output(); err != nil || strings.TrimSpace(string(out)) != elsewhere {
			t.Errorf("%s: %v: %q, want %q", name, err, out, elsewhere)
		}
	}
}
