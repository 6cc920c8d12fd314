package scripts

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSelectedTestsExist checks that each name in the selections of scripts/test is part of a test's
// name. Otherwise a renamed test would run on a stack that leaves it out, or on none.
func TestSelectedTestsExist(t *testing.T) {
	script, err := os.ReadFile(filepath.Join("..", "..", "scripts", "test"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join("..", "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var tests strings.Builder
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(string(b), -1) {
			tests.WriteString(m[1] + "\n")
		}
	}
	names := 0
	for _, m := range regexp.MustCompile(`(?m)(?:^(?:kills|answers|not_\w+)=|-(?:run|skip) )["']([^"'$]*(?:\$answers)?[^"']*)["']`).FindAllStringSubmatch(string(script), -1) {
		for name := range strings.SplitSeq(m[1], "|") {
			if strings.HasPrefix(name, "$") {
				continue
			}
			names++
			if !strings.Contains(tests.String(), name) {
				t.Errorf("scripts/test selects %q, which is part of no test's name", name)
			}
		}
	}
	if names < 25 {
		t.Errorf("%d names found in scripts/test: are the selections written in another way now?", names)
	}
}
