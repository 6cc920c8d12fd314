package rules

import (
	"slices"
	"strings"
	"testing"
)

// folder is a top folder of the repository.
type folder struct {
	name    string
	imports []string
}

// mayImport lists, for each top folder, the other top folders that it may import. Lower ones come
// first: no folder imports one below its own row. Services have their own test.
var mayImport = []folder{
	{"tools", nil},
	{"pkg", nil},
	{"sandbox", []string{"pkg"}},
	{"services", []string{"pkg"}},
	{"ops", []string{"pkg"}},
	// A stack creates its topics and switches to Debezium as operators do on any cluster.
	{"local", []string{"pkg", "ops"}},
	{"lab", []string{"pkg", "ops", "local"}},
	{"proof", []string{"pkg", "ops"}}, // and the aggregates of the services
	{"cmd", []string{"pkg", "ops", "local", "lab", "proof"}},
	{"bench", []string{"pkg", "ops", "local", "lab"}},
	{"e2e", []string{"pkg", "ops", "local", "lab"}},
}

// TestFoldersImportWhatLiesBelow keeps each folder to its purpose: the kit depends on nothing above
// it, operators' tools work without the local stacks, and the stacks work without the programs that
// use them.
func TestFoldersImportWhatLiesBelow(t *testing.T) {
	seen := map[string]int{}
	for _, s := range sources(t) {
		own, _, _ := strings.Cut(s.pkg, "/")
		seen[own]++
		row := slices.IndexFunc(mayImport, func(f folder) bool { return f.name == own })
		if row < 0 {
			t.Errorf("%s: the folder %s has no row in mayImport", s.path, own)
			continue
		}
		for _, im := range s.imports {
			ours, ok := strings.CutPrefix(im, prefix)
			if !ok {
				continue
			}
			top, _, _ := strings.Cut(ours, "/")
			if top != own && top != "services" && !slices.Contains(mayImport[row].imports, top) {
				t.Errorf("%s imports %s: %s may import itself and %q", s.path, im, own, mayImport[row].imports)
			}
		}
	}
	for i, f := range mayImport {
		if seen[f.name] == 0 {
			t.Errorf("no source in %s", f.name)
		}
		for _, im := range f.imports {
			below := slices.IndexFunc(mayImport[:i], func(g folder) bool { return g.name == im })
			if below < 0 {
				t.Errorf("%s may import %s, which has no row above it", f.name, im)
			}
		}
	}
}
