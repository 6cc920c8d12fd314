package mutation_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"eventshop.example/proof/check"
	"eventshop.example/proof/mutation"
	"eventshop.example/proof/shop"
)

// TestEveryMutationIsFound: the check finds each mistake by the invariant that is written beside it.
func TestEveryMutationIsFound(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, m := range mutation.List() {
		if names[m.Name] {
			t.Errorf("two mutations have the name %s", m.Name)
		}
		names[m.Name] = true
		row := fmt.Sprintf("| %s | %s | %s | %s |", m.Name, m.Text, m.Bounds, m.Finds)
		if !strings.Contains(string(page), "\n"+row+"\n") {
			t.Errorf("README.md does not have the line %s", row)
		}
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			model := m.Model()
			found := check.Explore(model.System([]shop.Coordination{m.Order}, m.Bounds, 0, 1), 0)
			if found.Breach == nil {
				t.Fatalf("not found in %d states", found.States)
			}
			t.Logf("%s after %d steps and %d states: %s", found.Breach.Invariant, len(found.Path.Steps), found.States, found.Breach.Text)
			if found.Breach.Invariant != m.Finds {
				for _, l := range model.Lines(found.Path) {
					t.Logf("  %s -> %s: %s   [%s]", shop.Columns(found.Path)[l.From], shop.Columns(found.Path)[l.To], l.Text, l.Effect)
				}
				t.Errorf("found by %s, want %s", found.Breach.Invariant, m.Finds)
			}
		})
	}
}
