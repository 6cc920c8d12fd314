package rules

import (
	"go/ast"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestInternalsNameTheirFiles checks that the file map of each page INTERNALS.md has every file of
// its package, that every file it names exists, and that every `Type.method` or `Type.field` on the
// page is defined.
func TestInternalsNameTheirFiles(t *testing.T) {
	dir := root(t)
	pages, err := filepath.Glob(filepath.Join(dir, "pkg", "*", "INTERNALS.md"))
	if err != nil {
		t.Fatal(err)
	}
	deeper, err := filepath.Glob(filepath.Join(dir, "pkg", "*", "*", "INTERNALS.md"))
	if err != nil {
		t.Fatal(err)
	}
	if pages = append(pages, deeper...); len(pages) < 2 {
		t.Fatalf("only %d pages found", len(pages))
	}
	all := sources(t)
	defined := map[string]bool{}
	for _, s := range all {
		for _, name := range append(names(s), fields(s)...) {
			defined[name] = true
		}
	}
	file := regexp.MustCompile("`([a-z_]+\\.go)`")
	name := regexp.MustCompile("`([A-Za-z]+\\.[A-Za-z]+)`")
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		pkg, err := filepath.Rel(dir, filepath.Dir(page))
		if err != nil {
			t.Fatal(err)
		}
		pkg = filepath.ToSlash(pkg)
		_, files, found := strings.Cut(string(text), "\n## File map\n")
		files, _, _ = strings.Cut(files, "\n## ")
		if !found {
			t.Errorf("%s/INTERNALS.md has no file map", pkg)
		}
		var got, want []string
		for _, m := range file.FindAllStringSubmatch(files, -1) {
			got = append(got, m[1])
		}
		for _, s := range all {
			if s.pkg == pkg && !s.test {
				want = append(want, filepath.Base(s.path))
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("the file map of %s (- page, + package):\n%s", pkg, difference(got, want))
		}
		checked := 0
		for _, m := range name.FindAllStringSubmatch(string(text), -1) {
			if strings.HasSuffix(m[1], ".go") || strings.HasSuffix(m[1], ".md") {
				continue
			}
			if checked++; !defined[m[1]] {
				t.Errorf("%s/INTERNALS.md names %s, which is defined nowhere", pkg, m[1])
			}
		}
		if checked < 5 {
			t.Errorf("only %d names found in %s/INTERNALS.md: the pattern is broken", checked, pkg)
		}
	}
}

// fields returns the fields of a file's structs, and its types, as documents write them:
// "Type.field" and "package.Type".
func fields(s source) []string {
	var out []string
	for _, d := range s.file.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range g.Specs {
			typ, ok := spec.(*ast.TypeSpec)
			if !ok {
				continue
			}
			out = append(out, s.file.Name.Name+"."+typ.Name.Name)
			str, ok := typ.Type.(*ast.StructType)
			if !ok {
				continue
			}
			for _, f := range str.Fields.List {
				for _, n := range f.Names {
					out = append(out, typ.Name.Name+"."+n.Name)
				}
				if id, embedded := f.Type.(*ast.Ident); embedded && len(f.Names) == 0 {
					out = append(out, typ.Name.Name+"."+id.Name)
				}
			}
		}
	}
	return out
}

// TestTheSagaPageShowsEveryState checks that the diagrams of docs/saga.md have exactly the states
// of each aggregate.
func TestTheSagaPageShowsEveryState(t *testing.T) {
	dir := root(t)
	page, err := os.ReadFile(filepath.Join(dir, "docs", "saga.md"))
	if err != nil {
		t.Fatal(err)
	}
	constant := regexp.MustCompile(`State = "([A-Z_]+)"`)
	state := regexp.MustCompile(`\b[A-Z][A-Z_]{3,}\b`)
	for _, service := range slices.Sorted(maps.Keys(aggregates)) {
		source, err := os.ReadFile(filepath.Join(dir, "services", service, service, "state.go"))
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, m := range constant.FindAllStringSubmatch(string(source), -1) {
			want = append(want, m[1])
		}
		_, section, found := strings.Cut(string(page), "\n### "+service+"\n")
		diagram, _, closed := strings.Cut(section, "\n```\n")
		if !found || !closed || len(want) == 0 {
			t.Fatalf("docs/saga.md has no diagram of %s, or its states are not found: %q", service, want)
		}
		got := state.FindAllString(diagram, -1)
		slices.Sort(got)
		slices.Sort(want)
		if got = slices.Compact(got); !slices.Equal(got, want) {
			t.Errorf("the diagram of %s shows %q, its states are %q", service, got, want)
		}
	}
}

// TestTheIndexListsEveryPage: docs/README.md links each page and each decision of docs.
func TestTheIndexListsEveryPage(t *testing.T) {
	dir := filepath.Join(root(t), "docs")
	index, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var pages []string
	for _, pattern := range []string{"*.md", "adr/*.md"} {
		found, err := filepath.Glob(filepath.Join(dir, filepath.FromSlash(pattern)))
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, found...)
	}
	if len(pages) < 12 {
		t.Fatalf("only %d pages found", len(pages))
	}
	for _, page := range pages {
		name, err := filepath.Rel(dir, page)
		if err != nil {
			t.Fatal(err)
		}
		if name = filepath.ToSlash(name); name != "README.md" && !strings.Contains(string(index), "]("+name+")") {
			t.Errorf("docs/README.md has no link to %s", name)
		}
	}
}
