package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// golden compares with a file of testdata. WRITE_GOLDEN=1 writes the file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if os.Getenv("WRITE_GOLDEN") != "" {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// TestACounterexample: a mistake is shown as the shortest run, in words and as a drawing.
func TestACounterexample(t *testing.T) {
	t.Parallel()
	svg := filepath.Join(t.TempDir(), "run.svg")
	var out strings.Builder
	err := run([]string{"--mutation", "capture-after-void", "--svg", svg}, &out)
	if err == nil {
		t.Fatal("the mistake was not found")
	}
	_, steps, _ := strings.Cut(out.String(), " s\n") // without the seconds that it took
	golden(t, "capture-after-void.txt", steps+err.Error()+"\n")
	picture, err := os.ReadFile(svg)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "capture-after-void.svg", string(picture))
}

func TestRealTablesAreNotFound(t *testing.T) {
	t.Parallel()
	for _, args := range []string{
		"--crashes 0 --lost 0", "--orders 2 --walks 20 --seed 7",
		"--style both --crashes 0 --lost 0", "--style both --orders 2 --walks 20", "--style orchestrated --lost 0 --crashes 0 --late 1",
		"--style orchestrated --definition 2 --lost 0 --crashes 0", "--style both --definition 2 --orders 2 --walks 20",
	} {
		var out strings.Builder
		if err := run(strings.Fields(args), &out); err != nil || !strings.Contains(out.String(), "no invariant is violated") {
			t.Errorf("%s: %v\n%s", args, err, out.String())
		}
	}
}

func TestWhatCannotBeDoneIsAnError(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"--crashes 4":        "must be 0 to 3",
		"--spent -1":         "must be 0 to 2",
		"--limit 100":        "stopped at the limit",
		"--mutation unknown": "there is no mistake",
		"--orders 3":         "must be 1 or 2",
		"--style mixed":      "must be choreographed",
		"--retries 4":        "must be 0 to 3",
		"--definition 3":     "must be 1 to 2",
		"something":          "unexpected argument",
	} {
		var out strings.Builder
		if err := run(strings.Fields(args), &out); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", args, err, want)
		}
	}
}
