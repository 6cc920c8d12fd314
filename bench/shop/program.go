// Package shop runs whole shops for benchmarks: the programs of one state of the repository, on a
// database server that counts what they do. It places orders, and follows them on the topics
// without asking a service.
//
// A shop is started by its own shop command, so that an older state of the repository can run in
// turns with the present one, whatever its packages are called.
package shop

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"eventshop.example/local/gobuild"
)

// Program is a shop command and the repository from which it builds its services.
type Program struct {
	Name  string // of the side in results
	Root  string // of the repository
	shop  string // the program
	state string // of its shop; the programs in it are built once
}

// Build builds the shop command of the repository at root. Its state is in a folder of its own in
// dir.
func Build(ctx context.Context, name, root, dir string, note func(string)) (*Program, error) {
	p := &Program{Name: name, Root: root, shop: filepath.Join(dir, name, "bin", "shop"), state: filepath.Join(dir, name, "state")}
	if err := os.MkdirAll(p.state, 0o755); err != nil {
		return nil, err
	}
	err := gobuild.Build{
		Dir: root, Packages: []string{"./cmd/shop"}, Flags: []string{"-ldflags=-s -w", "-o", p.shop}, Env: []string{"CGO_ENABLED=0"},
	}.Run(ctx, func(is gobuild.Progress) { note(is.String()) })
	if err != nil {
		return nil, fmt.Errorf("build the shop of %s: %w", root, err)
	}
	return p, nil
}

// Checkout makes a worktree of a commit of the repository in dir, and returns the function that
// removes it.
func Checkout(ctx context.Context, repo, commit, dir string) (remove func() error, err error) {
	git := func(ctx context.Context, args ...string) error {
		out, err := exec.CommandContext(ctx, "git", append([]string{"-C", repo}, args...)...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, out)
		}
		return nil
	}
	if err := git(ctx, "worktree", "add", "--detach", dir, commit); err != nil {
		return nil, err
	}
	return func() error { return git(context.WithoutCancel(ctx), "worktree", "remove", "--force", dir) }, nil
}

// run runs the shop command. The error has the beginning and the end of its output.
func (p *Program) run(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, p.shop, append(args, "--state", p.state)...)
	cmd.Dir = p.Root // by which the command finds its repository
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "SHOP_") { // would choose another broker or registry
			cmd.Env = append(cmd.Env, kv)
		}
	}
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	const keep = 1500
	text := strings.TrimSpace(string(out))
	if len(text) > 2*keep {
		text = text[:keep] + "\n…\n" + text[len(text)-keep:]
	}
	return fmt.Errorf("shop %s: %w\n%s", args[0], err, text)
}
