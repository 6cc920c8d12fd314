package jars

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestMajorOf(t *testing.T) {
	t.Parallel()
	for out, want := range map[string]int{
		"openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime Environment": 17,
		`openjdk version "21" 2023-09-19`:                                     21,
		`java version "1.8.0_392"`:                                            1,
		"":                                                                    0, "no version here": 0,
	} {
		if got := majorOf(out); got != want {
			t.Errorf("%q is %d, want %d", out, got, want)
		}
	}
}

// program puts an executable script of that name into a folder of its own, which becomes the PATH.
func program(t *testing.T, name, script string) {
	t.Helper()
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
}

// Not parallel: t.Setenv.
func TestJavaThatIsMissingOrOld(t *testing.T) {
	t.Setenv("JAVA_HOME", "")
	t.Setenv("PATH", t.TempDir())
	if _, err := Java(t.Context()); !errors.Is(err, ErrMissing) {
		t.Errorf("without one: %v", err)
	}
	program(t, "java", `echo 'openjdk version "11.0.2" 2019-01-15' >&2`)
	if _, err := Java(t.Context()); !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "is 11") {
		t.Errorf("of version 11: %v", err)
	}
	program(t, "java", `echo 'openjdk version "21.0.2" 2024-01-16' >&2`)
	if path, err := Java(t.Context()); err != nil || filepath.Base(path) != "java" {
		t.Errorf("of version 21: %s, %v", path, err)
	}
}

// TestFetchOnce: a failed download leaves nothing that looks like a set, and several processes that
// need the same set download it once. Not parallel: t.Setenv.
func TestFetchOnce(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	t.Setenv("HOME", cache)
	quiet := func(string) {}
	t.Setenv("PATH", t.TempDir())
	if _, err := Fetch(t.Context(), Kafka, quiet); !errors.Is(err, ErrMissing) {
		t.Errorf("without Maven: %v", err)
	}
	fill := `for a in "$@"; do case $a in -DoutputDirectory=*) out=${a#*=};; esac; done
/bin/mkdir -p "$out"; echo > "$out/a.jar"; echo run >> "` + cache + `/runs"; `
	program(t, "mvn", fill+"echo no network; exit 1")
	if _, err := Fetch(t.Context(), Kafka, quiet); err == nil || !strings.Contains(err.Error(), "no network") {
		t.Errorf("Maven that fails: %v", err)
	}
	program(t, "mvn", fill)
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			dir, err := Fetch(t.Context(), Kafka, quiet)
			if err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(filepath.Join(dir, "a.jar")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	runs, err := os.ReadFile(filepath.Join(cache, "runs"))
	if err != nil || strings.Count(string(runs), "run") != 2 {
		t.Errorf("Maven ran %q, %v; want one failure and one download", runs, err)
	}
	if _, err := Fetch(t.Context(), "tomcat", quiet); err == nil {
		t.Error("an unknown set was found")
	}
}
