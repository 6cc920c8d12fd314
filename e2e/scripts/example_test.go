package scripts

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestExamplesApply applies the patches of the example to the committed tree, in each style. Its page has the
// figures that the script prints, and no others, and so has the table of the page about both styles.
func TestExamplesApply(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	if _, err := os.Stat(filepath.Join(root, ".git")); err != nil {
		t.Skip("the committed tree is needed, and this is no checkout:", err)
	}
	const example = "fraud-check"
	var figures []string
	sizes := map[string][]any{} // of each style by kind: files, new ones, lines added and removed
	size := regexp.MustCompile(`^(\S+) +(\S+) +(\d+) files \((\d+) new\), +(\d+) lines added, +(\d+) removed`)
	for _, style := range []string{"orchestrated", "choreographed"} {
		cmd := exec.Command(filepath.Join(root, "scripts", "example"), example, style, "--check")
		cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for line := range strings.Lines(string(out)) {
			if !slices.Contains(figures, line) { // the participant is in both
				figures = append(figures, line)
			}
			if m := size.FindStringSubmatch(line); m != nil {
				sizes[m[1]+" "+m[2]] = []any{m[3], m[4], m[5], m[6]}
			}
		}
	}
	var shown []string
	for line := range strings.Lines(read(t, filepath.Join(root, "docs", "examples", example, "README.md"))) {
		if figure, ok := strings.CutPrefix(line, "    "); ok && (size.MatchString(figure) || strings.Contains(figure, "  services  ")) {
			shown = append(shown, figure)
		}
	}
	if !slices.Equal(shown, figures) || len(sizes) < 8 {
		t.Errorf("the page has\n%s\nand the script prints\n%s", strings.Join(shown, ""), strings.Join(figures, ""))
	}
	o, c := sizes["orchestrated hand-written"], sizes["choreographed hand-written"]
	ot, ct := sizes["orchestrated tests"], sizes["choreographed tests"]
	table := read(t, filepath.Join(root, "docs", "choreography-or-orchestration.md"))
	for _, row := range []string{
		fmt.Sprintf("| files, of these new | %s, %s | %s, %s |", o[0], o[1], c[0], c[1]),
		fmt.Sprintf("| lines added, removed | %s, %s | %s, %s |", o[2], o[3], c[2], c[3]),
		fmt.Sprintf("| of tests | %s, %s | %s, %s |", ot[2], ot[3], ct[2], ct[3]),
	} {
		if !strings.Contains(table, row+"\n") {
			t.Errorf("docs/choreography-or-orchestration.md does not have the row %s", row)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
