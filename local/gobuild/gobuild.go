// Package gobuild builds programs with the go command and reports the build's progress.
//
// # What it guarantees
//
// Build calls report a few times a second while the go command works, and not after it has
// returned. When ctx ends, the go command ends.
//
// # How it fails
//
// The error has the go command's output without the lines of progress. If ctx has ended, it is the
// error of ctx.
package gobuild

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Build is one call of go build.
type Build struct {
	Dir      string   // where the go command runs
	Flags    []string // of go build, without -v
	Packages []string
	Env      []string // KEY=VALUE, added to this process's environment
}

// Progress is the progress of a build.
type Progress struct {
	Modules   int // downloaded, or being downloaded
	Compiling int // compiled, or being compiled
	Total     int // packages to compile; 0 before the number is known
	Since     time.Duration
}

// reportEvery is how often progress is reported. It bounds the age of the line on the terminal.
const reportEvery = 200 * time.Millisecond

// endWithin bounds the time in which the go command removes its temporary files after ctx has
// ended.
const endWithin = 5 * time.Second

// String formats the progress in a few words. After a fifth of the packages it adds the remaining
// time, which it estimates from the time per package.
func (p Progress) String() string {
	switch {
	case p.Total == 0 && p.Modules > 0:
		return fmt.Sprintf("downloading module %d", p.Modules)
	case p.Total == 0:
		return "looking for what there is to build"
	case p.Compiling >= p.Total:
		return fmt.Sprintf("compiled %d packages, linking", p.Total)
	}
	said := fmt.Sprintf("compiling package %d of %d", p.Compiling, p.Total)
	if p.Since >= 3*time.Second && p.Compiling*5 >= p.Total {
		left := p.Since * time.Duration(p.Total-p.Compiling) / time.Duration(p.Compiling)
		said += fmt.Sprintf(", about %.0fs left", left.Seconds()+1)
	}
	return said
}

// Run builds. It first lists the packages, which downloads missing modules.
func (b Build) Run(ctx context.Context, report func(Progress)) error {
	var modules, packages counter
	stale, err := b.run(ctx, &modules, func() { report(Progress{Modules: modules.count()}) },
		"list", "-deps", "-f", "{{if .Stale}}{{.ImportPath}}{{end}}")
	if err != nil {
		return err
	}
	total, began := bytes.Count(stale, []byte("\n")), time.Now()
	_, err = b.run(ctx, &packages, func() {
		report(Progress{Modules: modules.count(), Compiling: packages.count(), Total: max(total, 1), Since: time.Since(began)})
	}, append([]string{"build", "-v"}, b.Flags...)...)
	return err
}

// run runs the go command, sends its errors and progress to said, and returns its output.
func (b Build) run(ctx context.Context, said *counter, report func(), args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", append(args, b.Packages...)...)
	cmd.Dir, cmd.Env = b.Dir, append(os.Environ(), b.Env...)
	// Ctrl-C goes to every process of a terminal's process group. In its own group, the go command
	// and its compilers end only with ctx.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = endWithin
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, said
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("go %s: %w", args[0], err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			if err != nil && ctx.Err() != nil {
				return nil, fmt.Errorf("go %s: %w", args[0], ctx.Err())
			}
			if err != nil {
				return nil, fmt.Errorf("go %s: %w\n%s", args[0], err, strings.Join(said.errors(), "\n"))
			}
			return out.Bytes(), nil
		case <-tick.C:
			report()
		}
	}
}
