package scripts

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestExamplesApply applies the patches of each example to the committed tree, in each style. The example's
// page has the figures that the script prints.
func TestExamplesApply(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat(filepath.Join("..", "..", ".git")); err != nil {
		t.Skip("the committed tree is needed, and this is no checkout:", err)
	}
	patches, err := filepath.Glob(filepath.Join("..", "..", "docs", "examples", "*", "*.patch"))
	if err != nil || len(patches) < 2 {
		t.Fatalf("patches %v, %v", patches, err)
	}
	for _, patch := range patches {
		example, style := filepath.Base(filepath.Dir(patch)), strings.TrimSuffix(filepath.Base(patch), ".patch")
		if style == "participant" {
			continue
		}
		t.Run(example+" "+style, func(t *testing.T) {
			t.Parallel()
			page, err := os.ReadFile(filepath.Join(filepath.Dir(patch), "README.md"))
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(filepath.Join("..", "..", "scripts", "example"), example, style, "--check")
			cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for line := range strings.Lines(string(out)) {
				if !strings.Contains(string(page), "    "+line) {
					t.Errorf("%s/README.md does not have the line\n    %s", filepath.Dir(patch), line)
				}
			}
		})
	}
}
