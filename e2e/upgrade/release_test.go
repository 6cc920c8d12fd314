// Package upgrade tests that a release takes over from the release before it: with its data and beside
// its processes, and that the release before can come back. It runs the programs of both, each built from its own commit.
package upgrade

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"eventshop.example/ops/eventshop"
)

// before is the commit of the release that this one is upgraded from: 0.3.0 in CHANGELOG.md, which
// names the commit of each version. A release moves it on to a later entry. What only processes of
// the release before need, such as triggers, can go in the same step.
const before = "92acbca04aa6fc8ecaaa6996bd05878fd1b78d55"

// release is one state of the project: its sources, and its programs, of which shop is one.
type release struct{ root, bin string }

func (r release) shop() string { return filepath.Join(r.bin, "shop") }

// services returns the services that the release has. A later release may have more.
func (r release) services() []string {
	return slices.DeleteFunc(eventshop.Services(), func(name string) bool {
		_, err := os.Stat(filepath.Join(r.root, "services", name))
		return err != nil
	})
}

// errNoCommit says that the release before cannot be built here.
var errNoCommit = errors.New("the release before is commit " + before + ", which this clone does not have (git fetch --unshallow)")

// releases returns the release before and this one.
func releases(t *testing.T) (old, now release) {
	t.Helper()
	old, err := released()
	if errors.Is(err, errNoCommit) && (os.Getenv("CI") != "true" || !wholeHistory()) {
		t.Skip(err)
	}
	if err == nil {
		now, err = present()
	}
	if err != nil {
		t.Fatal(err)
	}
	return old, now
}

// released builds the programs of the release before. Sources and programs stay in .shop/upgrade, so
// that a second run compiles nothing.
var released = sync.OnceValues(func() (release, error) {
	ctx := context.Background()
	root, err := repository()
	if err != nil {
		return release{}, err
	}
	if exec.CommandContext(ctx, "git", "-C", root, "cat-file", "-e", before+"^{commit}").Run() != nil {
		return release{}, errNoCommit
	}
	dir := filepath.Join(root, ".shop", "upgrade", before)
	r := release{root: filepath.Join(dir, "source"), bin: filepath.Join(dir, "bin")}
	if _, err := os.Stat(r.root); err == nil {
		return r, build(ctx, r)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return r, err
	}
	// Unpacked elsewhere first: an interruption leaves no half of the sources in their place.
	unpacked, err := os.MkdirTemp(dir, "source-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(unpacked)
	archive := filepath.Join(unpacked, "archive.tar")
	for _, c := range [][]string{
		{"git", "-C", root, "archive", "--output", archive, before},
		{"tar", "-xf", archive, "-C", unpacked},
	} {
		if out, err := exec.CommandContext(ctx, c[0], c[1:]...).CombinedOutput(); err != nil {
			return r, fmt.Errorf("%s: %w\n%s", strings.Join(c, " "), err, out)
		}
	}
	if err := errors.Join(os.Remove(archive), os.Rename(unpacked, r.root)); err != nil {
		return r, err
	}
	return r, build(ctx, r)
})

// wholeHistory reports whether this is a clone with all commits, in which the constant before names none.
func wholeHistory() bool {
	root, err := repository()
	if err != nil {
		return false
	}
	out, err := exec.Command("git", "-C", root, "rev-parse", "--is-shallow-repository").Output()
	return err == nil && strings.TrimSpace(string(out)) == "false"
}

// present builds the programs of this release.
var present = sync.OnceValues(func() (release, error) {
	root, err := repository()
	if err != nil {
		return release{}, err
	}
	r := release{root: root, bin: filepath.Join(root, ".shop", "upgrade", "bin")}
	return r, build(context.Background(), r)
})

func repository() (string, error) { return filepath.Abs(filepath.Join("..", "..")) }

// build compiles a release's programs, with the flags of shop up: programs that are up to date need
// no second build there.
func build(ctx context.Context, r release) error {
	if err := os.MkdirAll(r.bin, 0o755); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-ldflags=-s -w", "-o", r.bin+"/", "./cmd/shop")
	for _, pattern := range []string{"sandbox/cmd/*", "services/*/cmd/*"} { // a release has programs of its own
		found, err := filepath.Glob(filepath.Join(r.root, filepath.FromSlash(pattern)))
		if err != nil || len(found) == 0 {
			return fmt.Errorf("no programs %s in %s: %w", pattern, r.root, err)
		}
		for _, dir := range found {
			rel, err := filepath.Rel(r.root, dir)
			if err != nil {
				return err
			}
			cmd.Args = append(cmd.Args, "./"+filepath.ToSlash(rel))
		}
	}
	cmd.Dir, cmd.Env = r.root, environment()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the programs of %s: %w\n%s", r.root, err, out)
	}
	return nil
}

// environment is that of this process without settings that choose another broker, registry or
// server. The sources of the release before are in no working tree, so builds store no revision.
func environment() []string {
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "SHOP_") })
	return append(env, "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
}
