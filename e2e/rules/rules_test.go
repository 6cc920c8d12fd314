// Package rules checks the project's rules that a compiler does not check: which packages may
// import which, what a package must not contain, and that the documents name existing things. It
// only reads and builds source files, so nothing has to run; the example that
// TestPackagesCanBeCopied runs starts its own database.
//
// Run it with -count=1, as scripts/test does: go test notices changed files only in the test's own
// module, and most of the files that these tests read are in others.
package rules

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"eventshop.example/ops/eventshop"
)

const prefix = "eventshop.example/"

// source is one Go file of the repository.
type source struct {
	path      string // slash-separated, relative to the repository
	pkg       string // import path without the prefix: "pkg/outbox"
	test      bool
	generated bool
	file      *ast.File
	imports   []string
}

func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "go.work")); err != nil {
		t.Fatalf("the repository's root is not two folders up: %v", err)
	}
	return dir
}

// sources returns all Go files of the repository, which no test changes.
func sources(t *testing.T) []source {
	t.Helper()
	root(t)
	all, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 50 {
		t.Fatalf("only %d Go files found: the walk is broken", len(all))
	}
	return slices.Clone(all)
}

// parsed reads the files once for all tests.
var parsed = sync.OnceValues(func() (out []source, err error) {
	dir, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		return nil, err
	}
	err = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && p != dir {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(p, ".go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		s := source{
			path: rel, pkg: rel[:max(strings.LastIndex(rel, "/"), 0)],
			test: strings.HasSuffix(rel, "_test.go"), generated: ast.IsGenerated(f), file: f,
		}
		for _, im := range f.Imports {
			path, err := strconv.Unquote(im.Path.Value)
			if err != nil {
				return err
			}
			s.imports = append(s.imports, path)
		}
		out = append(out, s)
		return nil
	})
	return out, err
})

// names returns what a file defines at its top level, as documents write it: "Type.Method", and
// "package.Function".
func names(s source) []string {
	var out []string
	for _, d := range s.file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		if f.Recv == nil {
			out = append(out, s.file.Name.Name+"."+f.Name.Name)
			continue
		}
		recv := f.Recv.List[0].Type
		if p, ok := recv.(*ast.StarExpr); ok {
			recv = p.X
		}
		switch generic := recv.(type) {
		case *ast.IndexExpr:
			recv = generic.X
		case *ast.IndexListExpr:
			recv = generic.X
		}
		if id, ok := recv.(*ast.Ident); ok {
			out = append(out, id.Name+"."+f.Name.Name)
		}
	}
	return out
}

// service returns the service a package belongs to, or "".
func service(pkg string) string {
	rest, ok := strings.CutPrefix(pkg, "services/")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	return name
}

func TestServicesNeverImportEachOther(t *testing.T) {
	for _, s := range sources(t) {
		own := service(s.pkg)
		for _, im := range s.imports {
			ours, ok := strings.CutPrefix(im, prefix)
			if !ok {
				continue
			}
			if own != "" && !strings.HasPrefix(ours, "pkg/") && service(ours) != own {
				t.Errorf("%s imports %s: a service shares events and pkg with the others, nothing else", s.path, im)
			}
			if proof := strings.HasPrefix(s.pkg, "proof"); proof && ours == "services/"+service(ours)+"/"+service(ours) {
				continue // the model checker reads the aggregates
			}
			if own == "" && service(ours) != "" {
				t.Errorf("%s imports %s: services are run and called, not imported", s.path, im)
			}
		}
	}
}

func TestAggregatesArePure(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range sources(t) {
		name := service(s.pkg)
		if name == "" || s.pkg != "services/"+name+"/"+name || s.test {
			continue
		}
		seen[name] = true
		for _, im := range s.imports {
			first, _, _ := strings.Cut(im, "/")
			if strings.Contains(first, ".") && im != prefix+"pkg/errs" {
				t.Errorf("%s imports %s: an aggregate knows the standard library and pkg/errs", s.path, im)
			}
			if im == "net/http" || im == "database/sql" || im == "os" {
				t.Errorf("%s imports %s: an aggregate does no I/O", s.path, im)
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" && sel.Sel.Name == "Now" {
					t.Errorf("%s reads the clock: an aggregate is told the time", s.path)
				}
			}
			return true
		})
	}
	for _, name := range slices.Sorted(maps.Keys(aggregates)) {
		if !seen[name] {
			t.Errorf("services/%s has no %s", name, name)
		}
	}
}

// layers lists which packages of pkg each package of pkg may import, lowest first. An unused entry
// fails the test, so the list is exactly what to copy together with a package. events is the shop's
// contract, which no other package of the kit may import.
var layers = map[string][]string{
	"errs":                  {},
	"iso4217":               {},
	"telemetry":             {},
	"event":                 {"errs"},
	"events":                {"event"},
	"backoff":               {},
	"breaker":               {"errs"},
	"worker":                {"backoff", "telemetry"},
	"credentials":           {},
	"schema":                {"backoff", "errs", "event", "credentials"},
	"postgres":              {"errs", "credentials"},
	"postgres/server":       {},
	"sequence":              {"postgres"},
	"service":               {"telemetry", "credentials"},
	"kafka":                 {"credentials", "service"},
	"httpapi":               {"errs", "postgres", "telemetry", "iso4217"},
	"outbox":                {"errs", "event", "telemetry", "postgres"},
	"outbox/internal/queue": {"postgres", "sequence"},
	"outbox/capture":        {"errs", "postgres", "outbox/internal/queue"},
	"outbox/relay":          {"backoff", "event", "telemetry", "postgres", "outbox", "outbox/capture", "outbox/internal/queue"},
	"outbox/admin":          {"errs", "postgres", "outbox", "outbox/capture", "outbox/internal/queue"},
	"outbox/outboxtest":     {"event", "postgres", "postgres/server", "outbox", "pgtest", "kafkatest"},
	"inbox":                 {"postgres"},
	"position":              {"postgres"},
	"eventstore":            {"errs", "postgres", "sequence"},
	"retry":                 {"errs", "event", "postgres", "outbox"},
	"reaction":              {"outbox", "postgres", "telemetry"},
	"consumer":              {"backoff", "errs", "event", "telemetry", "postgres", "outbox", "inbox", "position", "retry", "reaction"},
	"projection":            {"errs", "event", "postgres", "position", "retry"},
	"operator":              {"operator/operatorapi", "errs", "event", "telemetry", "schema", "postgres", "httpapi", "service", "outbox/admin", "outbox/capture", "projection", "retry", "breaker"},
	"participant":           {"event", "telemetry", "schema", "postgres", "kafka", "httpapi", "service", "outbox", "outbox/admin", "outbox/relay", "inbox", "position", "projection", "retry", "consumer", "operator", "breaker"},
	"pgtest":                {"postgres", "postgres/server"},
	"kafkatest":             {"event"},
	"event/eventtest":       {"event"},
	"event/sample":          {"event"},
	"httpapi/httpapitest":   {"httpapi", "pgtest", "postgres"},
	"schema/schematest":     {"event", "schema"},

	"operator/operatorapi": {},

	"telemetry/telemetrytest": {"telemetry"},

	"participant/participanttest": {"participant", "service", "postgres", "postgres/server", "pgtest", "kafkatest"},
}

func TestPkgIsLayered(t *testing.T) {
	kits := []string{"httpapi/httpapitest", "pgtest", "kafkatest", "outbox/outboxtest", "schema/schematest", "event/eventtest", "event/sample", "telemetry/telemetrytest", "participant/participanttest"}
	used := map[string]bool{}
	for _, s := range sources(t) {
		for _, im := range s.imports {
			ours, ok := strings.CutPrefix(im, prefix)
			if ours == "pkg/events" && strings.HasPrefix(s.pkg, "pkg/") && s.pkg != ours {
				t.Errorf("%s imports %s: the kit, its tests included, knows no shop; pkg/event/sample has events for its tests", s.path, im)
			}
			if !ok || s.test {
				continue
			}
			if kit := strings.TrimPrefix(ours, "pkg/"); slices.Contains(kits, kit) && !isKit(s.pkg) {
				t.Errorf("%s imports %s: test kits never reach a binary", s.path, im)
			}
			own, inPkg := strings.CutPrefix(s.pkg, "pkg/")
			if !inPkg {
				continue
			}
			allowed, known := layers[own]
			if !known {
				t.Errorf("%s: package pkg/%s has no layer; give it one in this test", s.path, own)
				continue
			}
			used[own+" "+strings.TrimPrefix(ours, "pkg/")] = true
			if !slices.Contains(allowed, strings.TrimPrefix(ours, "pkg/")) {
				t.Errorf("%s imports %s: not below pkg/%s", s.path, im, own)
			}
		}
	}
	for own, allowed := range layers {
		for _, below := range allowed {
			if !used[own+" "+below] {
				t.Errorf("pkg/%s may import pkg/%s and does not: take that out of this list", own, below)
			}
		}
	}
}

// isKit reports whether a package exists for tests only.
func isKit(pkg string) bool {
	last := pkg[strings.LastIndex(pkg, "/")+1:]
	return strings.HasSuffix(last, "test")
}

// secondOpinion is the one package that compares codecs, in its tests.
const secondOpinion = "bench/codec"

func TestAvroStaysBehindSchema(t *testing.T) {
	for _, s := range sources(t) {
		for _, im := range s.imports {
			hamba := strings.HasPrefix(im, "github.com/hamba/avro")
			avro := hamba || strings.HasPrefix(im, "github.com/twmb/avro") || strings.HasPrefix(im, "github.com/riferrei/srclient")
			switch {
			case !avro, s.pkg == secondOpinion && s.test, s.pkg == "pkg/schema" && !hamba:
			default:
				t.Errorf("%s imports %s: Avro and the registry client are pkg/schema's", s.path, im)
			}
		}
	}
}

// hamba/avro has advisories that no release fixes. It generates pkg/events, and tests compare
// codecs with it. No program and none of its packages may link it.
func TestNothingThatShipsLinksHamba(t *testing.T) {
	t.Parallel()
	list := func(args ...string) []string {
		cmd := exec.Command("go", append([]string{"list"}, args...)...)
		cmd.Dir = root(t)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("go list %s: %v\n%s", args, err, out)
		}
		return strings.Fields(string(out))
	}
	modules := list("-m", "-f", "{{.Dir}}")
	if len(modules) < 13 {
		t.Fatalf("only %d modules: %s", len(modules), modules)
	}
	args := []string{"-deps"}
	for _, dir := range modules {
		args = append(args, dir+"/...")
		if filepath.Base(dir) == "bench" {
			continue // requires it for the tests of secondOpinion
		}
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(mod), "hamba/avro") {
			t.Errorf("%s requires hamba/avro", filepath.Join(dir, "go.mod"))
		}
	}
	linked := list(args...)
	if !slices.Contains(linked, "github.com/twmb/avro") || !slices.Contains(linked, prefix+"cmd/shop") {
		t.Fatalf("%d packages, the shop's and its codec not among them", len(linked))
	}
	for _, pkg := range linked {
		if strings.HasPrefix(pkg, "github.com/hamba/avro") {
			t.Errorf("a package that is no test links %s", pkg)
		}
	}
}

func TestNoInitNoCatchAllPackages(t *testing.T) {
	for _, s := range sources(t) {
		for _, bad := range []string{"common", "util", "utils", "helpers", "misc"} {
			if s.file.Name.Name == bad {
				t.Errorf("%s: a package named %s says nothing", s.path, bad)
			}
		}
		if s.generated {
			continue
		}
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s has an init function: what runs is called from main", s.path)
			}
		}
	}
}

// TestNoGlobalState permits a package-level variable only for constants that Go cannot declare: an
// error to compare with, an embedded file, a compiled pattern, a table that its package never
// writes to. Other variables need a reason here.
func TestNoGlobalState(t *testing.T) {
	known := map[string]string{
		"pkg/pgtest.instance": "one server for each test binary, made by the first test that needs it",
	}
	written := map[string]bool{} // package.name that is assigned to somewhere
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		for _, name := range assigned(s.file) {
			written[s.pkg+"."+name] = true
		}
	}
	for _, s := range sources(t) {
		if s.generated || s.test {
			continue
		}
		for _, d := range s.file.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, spec := range g.Specs {
				v := spec.(*ast.ValueSpec)
				for i, name := range v.Names {
					full := s.pkg + "." + name.Name
					table := !name.IsExported() && i < len(v.Values) && !written[full]
					if name.Name == "_" || embeds(g, v) || table || i < len(v.Values) && immutable(v.Values[i]) || known[full] != "" {
						continue
					}
					t.Errorf("%s: package-level variable %s: state belongs to a value that somebody creates", s.path, name.Name)
				}
			}
		}
	}
}

// assigned returns the names that a file assigns to, directly or through an index or a field, or
// deletes from. A local variable of the same name counts too: rename it.
func assigned(f *ast.File) []string {
	var names []string
	add := func(e ast.Expr) {
		for {
			switch x := e.(type) {
			case *ast.IndexExpr:
				e = x.X
				continue
			case *ast.SelectorExpr:
				e = x.X
				continue
			case *ast.StarExpr:
				e = x.X
				continue
			case *ast.Ident:
				names = append(names, x.Name)
			}
			return
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE {
				for _, l := range n.Lhs {
					add(l)
				}
			}
		case *ast.IncDecStmt:
			add(n.X)
		case *ast.CallExpr:
			if id, ok := n.Fun.(*ast.Ident); ok && (id.Name == "delete" || id.Name == "clear") && len(n.Args) > 0 {
				add(n.Args[0])
			}
		case *ast.UnaryExpr:
			if n.Op == token.AND {
				add(n.X) // code with the address may write
			}
		}
		return true
	})
	return names
}

// embeds reports whether the compiler fills a variable from a file.
func embeds(g *ast.GenDecl, v *ast.ValueSpec) bool {
	for _, doc := range []*ast.CommentGroup{g.Doc, v.Doc} {
		if doc == nil {
			continue
		}
		for _, c := range doc.List {
			if strings.HasPrefix(c.Text, "//go:embed ") {
				return true
			}
		}
	}
	return false
}

// immutable reports whether a value cannot change after its creation.
func immutable(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.CallExpr:
		if sel, ok := e.Fun.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok {
				switch x.Name + "." + sel.Sel.Name {
				case "errors.New", "fmt.Errorf", "regexp.MustCompile", "errs.New", "crc32.MakeTable":
					return true
				}
			}
		}
	}
	return false
}

// TestSQLIsNotHidden checks that there is no interface over sqlc's queries, and none of the
// frameworks that this project does not use.
func TestSQLIsNotHidden(t *testing.T) {
	dir := root(t)
	configs, err := filepath.Glob(filepath.Join(dir, "services", "*", "sqlc.yaml"))
	if want := len(eventshop.Services()); err != nil || len(configs) != want {
		t.Fatalf("%d sqlc.yaml found, want %d, %v", len(configs), want, err)
	}
	for _, file := range configs {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), "emit_interface") {
			t.Errorf("%s emits an interface over the queries", file)
		}
	}
	for _, s := range sources(t) {
		for _, im := range s.imports {
			for _, bad := range []string{
				"github.com/google/wire", "go.uber.org/fx", "go.uber.org/dig", "github.com/samber/do",
				"github.com/ThreeDotsLabs/watermill", "go.temporal.io", "github.com/stretchr/testify", "go.uber.org/mock", "github.com/golang/mock",
			} {
				if im == bad || strings.HasPrefix(im, bad+"/") {
					t.Errorf("%s imports %s", s.path, im)
				}
			}
		}
	}
}

func TestTestsDoNotSleep(t *testing.T) {
	for _, s := range sources(t) {
		if !s.test {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" && sel.Sel.Name == "Sleep" {
				t.Errorf("%s sleeps: wait for the condition instead", s.path)
			}
			return true
		})
	}
}

func TestSizes(t *testing.T) {
	dir := root(t)
	for _, s := range sources(t) {
		if s.generated {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(s.path)))
		if err != nil {
			t.Fatal(err)
		}
		limit := 360 // about 300, and a little for the comment that explains
		if s.test {
			limit = 660
		}
		if n := strings.Count(string(b), "\n"); n > limit {
			t.Errorf("%s has %d lines: split it by behaviour", s.path, n)
		}
	}
}
