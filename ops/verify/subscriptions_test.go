package verify

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSubscriptionsAreTheServices reads the services' subscription tables, each line's
// handler by the event type it takes, and compares.
func TestSubscriptionsAreTheServices(t *testing.T) {
	folders, err := filepath.Glob(filepath.Join("..", "..", "services", "*", "subscriptions.go"))
	if err != nil || len(folders) < 5 {
		t.Fatalf("subscription tables: %v, %v", folders, err)
	}
	got := map[string][]string{}
	for _, table := range folders {
		service := filepath.Base(filepath.Dir(table))
		types := handled(t, filepath.Join(filepath.Dir(table), "internal", "app"))
		for _, handler := range subscribed(t, table) {
			if types[handler] == "" {
				t.Errorf("%s subscribes %s, which takes no event", service, handler)
			}
			got[service] = append(got[service], types[handler])
		}
		slices.Sort(got[service])
	}
	want := subscriptions()
	for _, types := range want {
		slices.Sort(types)
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("subscriptions (-services' +here):\n%s", diff)
	}
}

// subscribed lists the reactions of a subscription table: the last argument of the lines
// consumer.On(model, app.OnX), consumer.OnCall(model, a.Call, app.OnX) and app.Asking(a, app.OnX).
func subscribed(t *testing.T, table string) []string {
	var handlers []string
	ast.Inspect(parsed(t, table), func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) == 0 {
			return true
		}
		f, ok := call.Fun.(*ast.SelectorExpr)
		x, named := ident(f)
		if !ok || !named || !slices.Contains([]string{"consumer.On", "consumer.OnCall", "app.Asking"}, x+"."+f.Sel.Name) {
			return true
		}
		if handler, ok := call.Args[len(call.Args)-1].(*ast.SelectorExpr); ok {
			handlers = append(handlers, handler.Sel.Name)
		} else {
			t.Errorf("%s: a line is not understood", table)
		}
		return true
	})
	return handlers
}

// handled maps the functions and methods of a folder to T, where they take a
// consumer.Event[events.T].
func handled(t *testing.T, folder string) map[string]string {
	types := map[string]string{}
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in %s: %v", folder, err)
	}
	for _, file := range files {
		for _, d := range parsed(t, file).Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			for _, p := range f.Type.Params.List {
				index, ok := p.Type.(*ast.IndexExpr)
				if !ok {
					continue
				}
				of, _ := index.X.(*ast.SelectorExpr)
				arg, _ := index.Index.(*ast.SelectorExpr)
				if x, _ := ident(of); x != "consumer" || of.Sel.Name != "Event" {
					continue
				}
				if x, _ := ident(arg); x == "events" {
					types[f.Name.Name] = arg.Sel.Name
				}
			}
		}
	}
	return types
}

// ident is x of x.Name.
func ident(s *ast.SelectorExpr) (string, bool) {
	if s == nil {
		return "", false
	}
	id, ok := s.X.(*ast.Ident)
	if !ok {
		return "", false
	}
	return id.Name, true
}

func parsed(t *testing.T, file string) *ast.File {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return f
}
