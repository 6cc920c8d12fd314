package rules

import (
	"go/ast"
	"path"
	"slices"
	"strings"
	"testing"
)

// aggregates lists the files that each aggregate has in addition to the common ones. The package
// comment names each of them.
var aggregates = map[string][]string{
	"order":        {"command.go", "command_test.go", "draft.go", "draft_events.go", "draft_test.go", "emit.go", "events.go", "events_test.go", "order.go", "order_test.go", "place.go", "upcast.go", "upcast_test.go"},
	"payment":      {"command.go", "command_test.go"},
	"inventory":    {"allocate.go", "allocate_test.go", "command.go", "command_test.go"},
	"shipping":     {"command.go", "command_test.go"},
	"orchestrator": {"definition.go", "definition_test.go"},
	"notification": {"mail.go", "mail_test.go", "style.go"},
}

// dialect lists the files of every aggregate, with the definitions in each.
var dialect = map[string][]string{
	"doc.go":              {},
	"state.go":            {"State", "States", "State.Ended"},
	"input.go":            {"Input", "Inputs"},
	"decision.go":         {"Action", "Effect", "Decision"},
	"transitions.go":      {"Decide"},
	"transitions_test.go": {"TestDecideAnswersEveryPair"},
	"saga_test.go":        {},
}

// TestAggregatesSpeakOneDialect checks that the same idea has the same name and the same file in
// each aggregate, so that a reader of one can read all.
func TestAggregatesSpeakOneDialect(t *testing.T) {
	files := map[string]map[string]source{}
	for _, s := range sources(t) {
		if name := service(s.pkg); name != "" && s.pkg == "services/"+name+"/"+name {
			if files[name] == nil {
				files[name] = map[string]source{}
			}
			files[name][path.Base(s.path)] = s
		}
	}
	for name, special := range aggregates {
		for file, defines := range dialect {
			s, ok := files[name][file]
			if !ok {
				t.Errorf("services/%s/%s has no %s", name, name, file)
				continue
			}
			defined := topLevel(s.file)
			for _, want := range defines {
				if !slices.Contains(defined, want) {
					t.Errorf("%s does not define %s", s.path, want)
				}
			}
		}
		comment := ""
		if s, ok := files[name]["doc.go"]; ok {
			comment = s.file.Doc.Text()
		}
		for _, file := range special {
			if _, ok := files[name][file]; !ok {
				t.Errorf("services/%s/%s has no %s: take it out of this list", name, name, file)
			}
			if !strings.HasSuffix(file, "_test.go") && !strings.Contains(comment, file) {
				t.Errorf("the package comment of services/%s/%s does not name %s, which is special", name, name, file)
			}
		}
		for file, s := range files[name] {
			for _, word := range topLevel(s.file) {
				if home := homeOf(word); home != "" && home != file {
					t.Errorf("%s defines %s: its place is %s", s.path, word, home)
				}
			}
			if _, ok := dialect[file]; !ok && !slices.Contains(special, file) {
				t.Errorf("%s is a file that other aggregates do not have: list it in this test and in the package comment", s.path)
			}
		}
	}
	for name := range files {
		if _, ok := aggregates[name]; !ok {
			t.Errorf("services/%s has an aggregate that this test does not know", name)
		}
	}
}

// homeOf returns the file of a word of the dialect, or "".
func homeOf(name string) string {
	for file, defines := range dialect {
		if slices.Contains(defines, name) {
			return file
		}
	}
	return ""
}

// topLevel returns what a file defines: types, functions and "Type.Method".
func topLevel(f *ast.File) []string {
	var out []string
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			name := d.Name.Name
			if d.Recv != nil {
				typ := d.Recv.List[0].Type
				if star, ok := typ.(*ast.StarExpr); ok {
					typ = star.X
				}
				if id, ok := typ.(*ast.Ident); ok {
					name = id.Name + "." + name
				}
			}
			out = append(out, name)
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if typ, ok := spec.(*ast.TypeSpec); ok {
					out = append(out, typ.Name.Name)
				}
			}
		}
	}
	return out
}
