package main

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestFindings runs the program on a sample module, as scripts/lint does on the workspace. Each
// line that has to be found has a comment with the finding's beginning, and no other is found.
func TestFindings(t *testing.T) {
	program := filepath.Join(t.TempDir(), "lint")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	sample := filepath.Join("testdata", "sample")
	vet := exec.Command("go", "vet", "-vettool="+program, "./...")
	vet.Dir = sample
	vet.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
	out, err := vet.CombinedOutput()
	if err == nil {
		t.Error("go vet succeeds although the sample has findings")
	}
	found := map[string]string{} // by file:line
	finding := regexp.MustCompile(`(?m)^(?:\./)?(\w+\.go:\d+):\d+: (.*)$`)
	for _, m := range finding.FindAllStringSubmatch(string(out), -1) {
		found[m[1]] += m[2] + "\n"
	}
	wanted := expectations(t, sample)
	for _, at := range slices.Sorted(maps.Keys(wanted)) {
		if !strings.HasPrefix(found[at], wanted[at]) || strings.Count(found[at], "\n") != 1 {
			t.Errorf("%s: found %q, want %q", at, found[at], wanted[at])
		}
		delete(found, at)
	}
	for at, text := range found {
		t.Errorf("%s: found %q, want nothing", at, text)
	}
	if t.Failed() {
		t.Logf("go vet printed:\n%s", out)
	}
}

// expectations returns what the comments of a folder's files want, by file and line.
func expectations(t *testing.T, dir string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	want := regexp.MustCompile("// want `(.*)`$")
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(b), "\n") {
			if m := want.FindStringSubmatch(line); m != nil {
				all[fmt.Sprintf("%s:%d", filepath.Base(file), i+1)] = m[1]
			}
		}
	}
	if len(all) < 8 {
		t.Fatalf("only %d lines of %s want a finding", len(all), dir)
	}
	return all
}
