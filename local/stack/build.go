package stack

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"eventshop.example/local/gobuild"
	"eventshop.example/ops/eventshop"
)

// build compiles all programs in one command, so that shared packages are compiled once.
func (s *Stack) build(ctx context.Context) error {
	began := time.Now()
	bin := filepath.Join(s.State, "bin")
	var pkgs []string
	for _, name := range eventshop.Outside() {
		pkgs = append(pkgs, "./sandbox/cmd/"+name)
	}
	for _, name := range eventshop.Services() {
		pkgs = append(pkgs, "./services/"+name+"/cmd/"+name)
	}
	fmt.Fprintf(s.Out, "building %d programs (the first time one to two minutes, later seconds)\n", len(pkgs))
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	note, over := s.waiting("building the programs", 0)
	err := gobuild.Build{
		Dir: s.Root, Packages: pkgs,
		// Linking without symbol tables takes half the time; a panic's stack keeps its names.
		// Without cgo a program is one static file and is some 2 MB smaller.
		Flags: []string{"-ldflags=-s -w", "-o", bin + "/"}, Env: []string{"CGO_ENABLED=0"},
	}.Run(ctx, func(is gobuild.Progress) { note(is.String()) })
	over()
	if err != nil {
		return fmt.Errorf("build the programs: %w", err)
	}
	s.step(began, "programs built")
	return nil
}

// waiting reports the start of a long step to the stack's caller.
func (s *Stack) waiting(what string, atMost time.Duration) (note func(text string), over func()) {
	if s.Waiting == nil {
		return func(string) {}, func() {}
	}
	return s.Waiting(what, atMost)
}

func (s *Stack) step(began time.Time, what string) {
	fmt.Fprintf(s.Out, "%6.1fs  %s\n", time.Since(began).Seconds(), what)
}
