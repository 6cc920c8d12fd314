package gobuild

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// module writes a module of one program and returns its folder.
func module(t *testing.T, source string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module built.example\n\ngo 1.26\n", "main.go": source} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestRunBuilds(t *testing.T) {
	t.Parallel()
	dir := module(t, "package main\n\nfunc main() {}\n")
	b := Build{Dir: dir, Flags: []string{"-o", "program"}, Packages: []string{"."}, Env: []string{"GOWORK=off", "GOFLAGS="}}
	if err := b.Run(t.Context(), func(Progress) {}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "program")); err != nil {
		t.Error(err)
	}
}

// The error contains the compiler's output and no line of progress.
func TestRunSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, source := range map[string]string{
		"type":   "package main\n\nfunc main() { undefinedThing() }\n",
		"syntax": "package main\n\nfunc main() { undefinedThing( }\n",
		"import": "package main\n\nimport _ \"built.example/undefinedThing\"\n\nfunc main() {}\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := Build{Dir: module(t, source), Flags: []string{"-o", "program"}, Packages: []string{"."}, Env: []string{"GOWORK=off", "GOFLAGS="}}
			err := b.Run(t.Context(), func(Progress) {})
			if err == nil || !strings.Contains(err.Error(), "main.go:3") && !strings.Contains(err.Error(), "undefinedThing") {
				t.Fatalf("got %v", err)
			}
			for line := range strings.Lines(err.Error()) {
				if isProgress(strings.TrimSuffix(line, "\n")) {
					t.Errorf("progress among the errors: %q", line)
				}
			}
		})
	}
}

func TestCounterTellsProgressFromErrors(t *testing.T) {
	t.Parallel()
	var c counter
	const said = "go: downloading example.com/a v1.0.0\ninternal/abi\nvendor/golang.org/x/text\n" +
		"# eventshop.example/x\nx/x.go:3:2: undefined: y\ngo: warning: z\n\nexample.com/b"
	for _, b := range []byte(said) { // for any chunks
		if _, err := c.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	if got := c.count(); got != 3 {
		t.Errorf("%d lines of progress, want 3", got)
	}
	want := "# eventshop.example/x\nx/x.go:3:2: undefined: y\ngo: warning: z\n\nexample.com/b"
	if got := strings.Join(c.errors(), "\n"); got != want {
		t.Errorf("errors are %q, want %q", got, want)
	}
}

func TestProgressInWords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		p    Progress
		want string
	}{
		{Progress{}, "looking for what there is to build"},
		{Progress{Modules: 12}, "downloading module 12"},
		{Progress{Modules: 12, Compiling: 3, Total: 310, Since: 9 * time.Second}, "compiling package 3 of 310"},
		{Progress{Compiling: 155, Total: 310, Since: time.Second}, "compiling package 155 of 310"},
		{Progress{Compiling: 155, Total: 310, Since: 30 * time.Second}, "compiling package 155 of 310, about 31s left"},
		{Progress{Compiling: 310, Total: 310, Since: 60 * time.Second}, "compiled 310 packages, linking"},
	} {
		if got := c.p.String(); got != c.want {
			t.Errorf("%+v: got %q, want %q", c.p, got, c.want)
		}
	}
}

// pretend puts a fake go command on the path. It reports its start and runs until it is
// interrupted. Then it prints a compiler's message and fails.
func pretend(t *testing.T) (began string) {
	t.Helper()
	bin := t.TempDir()
	began = filepath.Join(bin, "began")
	script := "#!/bin/sh\ntrap 'echo compile: signal: interrupt >&2; exit 1' INT\n: >" + began + "\nwhile :; do sleep 0.05; done\n"
	if err := os.WriteFile(filepath.Join(bin, "go"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	return began
}

// When ctx ends, its error is returned, whatever the go command prints.
//
// Not parallel: t.Setenv.
func TestRunThatIsInterrupted(t *testing.T) {
	began := pretend(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	report := func(Progress) {
		if _, err := os.Stat(began); err == nil {
			cancel()
		}
	}
	err := Build{Dir: t.TempDir(), Packages: []string{"."}}.Run(ctx, report)
	if !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "signal") {
		t.Errorf("got %v", err)
	}
}
