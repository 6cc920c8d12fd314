package verify

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/event"
)

// TestSubscriptionsAreTheServices reads the services' subscription tables, each line's
// handler by the event type it takes and its style, and compares.
func TestSubscriptionsAreTheServices(t *testing.T) {
	folders, err := filepath.Glob(filepath.Join("..", "..", "services", "*", "subscriptions.go"))
	if err != nil || len(folders) < 5 {
		t.Fatalf("subscription tables: %v, %v", folders, err)
	}
	got := map[string]handles{}
	for _, table := range folders {
		service := filepath.Base(filepath.Dir(table))
		types := handled(t, filepath.Join(filepath.Dir(table), "internal", "app"))
		got[service] = handles{}
		for handler, style := range subscribed(t, table) {
			if types[handler] == "" {
				t.Errorf("%s subscribes %s, which takes no event", service, handler)
			}
			got[service][types[handler]] = style
		}
	}
	if diff := cmp.Diff(got, subscriptions()); diff != "" {
		t.Errorf("subscriptions (-services' +here):\n%s", diff)
	}
}

// subscribed lists the reactions of a subscription table with the styles that they are for: the last
// argument of the lines consumer.On(model, app.OnX), consumer.OnCall(model, a.Call, app.OnX) and
// app.Asking(a, app.OnX), and the argument of their .Of(event.X). Of all[i].Of(event.X) all lines have
// the style.
func subscribed(t *testing.T, table string) map[string]event.Style {
	styles := map[string]event.Style{"Choreographed": event.Choreographed, "Orchestrated": event.Orchestrated}
	handlers := map[string]event.Style{}
	var all event.Style
	ast.Inspect(parsed(t, table), func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) == 0 {
			return true
		}
		handler, name := subscription(call)
		switch {
		case name == "":
		case handler == "":
			t.Errorf("%s: a line is not understood", table)
		default:
			if _, ok := handlers[handler]; !ok { // else its .Of came first
				handlers[handler] = ""
			}
		}
		if f, ok := call.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "Of" {
			// .Of may come after other calls of the line, such as .Emits.
			handler := ""
			ast.Inspect(f.X, func(n ast.Node) bool {
				if inner, ok := n.(*ast.CallExpr); ok && handler == "" {
					handler, _ = subscription(inner)
				}
				return true
			})
			arg, _ := call.Args[0].(*ast.SelectorExpr)
			_, each := f.X.(*ast.IndexExpr)
			switch x, _ := ident(arg); {
			case x != "event" || styles[arg.Sel.Name] == "" || handler == "" && !each:
				t.Errorf("%s: a line's style is not understood", table)
			case each:
				all = styles[arg.Sel.Name]
			default:
				handlers[handler] = styles[arg.Sel.Name]
			}
		}
		return true
	})
	if all != "" {
		for handler := range handlers {
			handlers[handler] = all
		}
	}
	return handlers
}

// subscription returns the handler of a line's call and the call's name, which is "" for another call.
func subscription(call *ast.CallExpr) (handler, name string) {
	f, _ := call.Fun.(*ast.SelectorExpr)
	x, named := ident(f)
	if !named || len(call.Args) == 0 || !slices.Contains([]string{"consumer.On", "consumer.OnCall", "app.Asking"}, x+"."+f.Sel.Name) {
		return "", ""
	}
	if last, ok := call.Args[len(call.Args)-1].(*ast.SelectorExpr); ok {
		handler = last.Sel.Name
	}
	return handler, f.Sel.Name
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
