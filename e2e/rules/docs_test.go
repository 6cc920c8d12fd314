package rules

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"eventshop.example/ops/eventshop"
)

// documents are the pages whose paths must exist.
var documents = []string{"README.md", "ARCHITECTURE.md", "docs/glossary.md", "docs/copying.md", "docs/add-an-event.md", "docs/add-a-service.md", "docs/README.md", "docs/kafka-differences.md", "docs/deploy.md", "proof/README.md"}

func TestDocumentsNamePathsThatExist(t *testing.T) {
	dir := root(t)
	path := regexp.MustCompile("`((?:schemas|pkg|services|sandbox|ops|local|lab|proof|cmd|e2e|bench|scripts|tools|docs|deploy)/[A-Za-z0-9_./*-]*)`")
	link := regexp.MustCompile(`\]\(([^)#:]+)\)`)
	code := regexp.MustCompile("`[^`\n]*`")
	for _, doc := range documents {
		b, err := os.ReadFile(filepath.Join(dir, doc))
		if err != nil {
			t.Fatal(err)
		}
		named := 0
		check := func(from string, matches [][]string) {
			for _, m := range matches {
				if strings.Contains(m[1], "rating") || strings.Contains(m[1], "rated") {
					continue // what the pages on adding something add
				}
				named++
				found, err := filepath.Glob(filepath.Join(from, filepath.FromSlash(m[1])))
				if err != nil || len(found) == 0 {
					t.Errorf("%s names %s, which does not exist", doc, m[1])
				}
			}
		}
		check(dir, path.FindAllStringSubmatch(string(b), -1))
		text := code.ReplaceAllString(string(b), "") // a call of a generic function looks like a link
		check(filepath.Join(dir, filepath.Dir(doc)), link.FindAllStringSubmatch(text, -1))
		if named < 5 {
			t.Errorf("only %d paths found in %s: the pattern is broken", named, doc)
		}
	}
}

// TestArchitectureNamesFunctionsThatExist checks every `Type.Method` and
// `package.Function` of the page against the sources.
func TestArchitectureNamesFunctionsThatExist(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root(t), "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	defined := map[string]bool{}
	for _, s := range sources(t) {
		for _, name := range names(s) {
			defined[name] = true
		}
	}
	name := regexp.MustCompile("`([A-Za-z]+\\.[A-Z][A-Za-z]+|[A-Z][A-Za-z]+\\.[a-z][A-Za-z]+)`")
	checked := 0
	for _, m := range name.FindAllStringSubmatch(string(b), -1) {
		checked++
		if !defined[m[1]] {
			t.Errorf("ARCHITECTURE.md names %s, which is defined nowhere", m[1])
		}
	}
	if checked < 8 {
		t.Errorf("only %d names found: the pattern is broken", checked)
	}
}

// TestRoadsAreTests: each road of the page is a test of the same name.
func TestRoadsAreTests(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root(t), "e2e", "roads_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root(t), "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	for heading, test := range map[string]string{
		"Life of an order": "TestLifeOfAnOrder", "The unhappy road": "TestTheUnhappyRoad", "The same message twice": "TestTheSameMessageTwice", "A record that fails": "TestARecordThatFails",
	} {
		if !strings.Contains(string(page), "## "+heading+"\n") || !strings.Contains(string(b), "func "+test+"(") {
			t.Errorf("the road %q and the test %s do not match", heading, test)
		}
	}
}

// TestEveryServiceHasOneShape: learn one service, know all.
func TestEveryServiceHasOneShape(t *testing.T) {
	dir := root(t)
	for _, name := range eventshop.Services() {
		for _, file := range []string{
			"README.md", "go.mod", "service.go", "config.go", "subscriptions.go", "openapi.yaml", "sqlc.yaml", "oapi-codegen.yaml",
			"cmd/" + name + "/main.go", "internal/app/app.go", "internal/api/api.go", "internal/api/handler.go", "internal/db/db.go",
			"migrations", "queries",
		} {
			if _, err := fs.Stat(os.DirFS(dir), "services/"+name+"/"+file); err != nil {
				t.Errorf("services/%s has no %s", name, file)
			}
		}
	}
}
