package rules

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// shopWords are what only this shop knows. Each has the reason why the kit must not have it, in
// code, comments, tests, SQL or pages.
func shopWords() map[string]*regexp.Regexp {
	return map[string]*regexp.Regexp{
		"a name with the shop's prefix: names are parameters":                         regexp.MustCompile(`(?i)\beventshop_`),
		"a name of the shop: names are parameters":                                    regexp.MustCompile(`["'/]eventshop\b`),
		"the shop or its command line: a message names what to do, not a program":     regexp.MustCompile(`(?i)\bshop\b`),
		"the shop's key: the kit has subjects, aggregates and keys":                   regexp.MustCompile(`(?i)order[ _-]?ids?\b`),
		"a service of the shop: sample services have other names":                     regexp.MustCompile(`\b(payment|inventory|shipping|orchestrator)\b`),
		"an event of the shop: tests of the kit use pkg/event/sample or their own":    regexp.MustCompile(`\b(Order(Created|Placed|Confirmed|CancellationRequested|Cancelled|Shipped|Delivered)|(Payment|Inventory|Shipment)[A-Z]\w+)\b`),
		"a topic of the shop: tests of the kit use topics of pkg/event/sample or own": regexp.MustCompile(`\border\.(events|notifications|snapshots|commands)\b`),
	}
}

// kitExceptions lists the lines of the kit that may have such a word, by a part of the line, with
// the reason.
func kitExceptions() map[string]string {
	return map[string]string{
		`"eventshop.example/`:                 "import paths: copying replaces them",
		"https://eventshop.example/problems/": "problem types that clients of the HTTP APIs know",
		"PUBLICATION eventshop_outbox": "migrations that have run: the publication exists in databases under this name, and " +
			"what uses it takes the name as a parameter",
		"EVENTSHOP_TEST_POSTGRES_URL": "a variable that developers have set; pgtest.ServerURLVariable is its only use",
		"EVENTSHOP_RECORDS":           "a variable of the soak test, the same as in e2e",
		"EVENTSHOP_SEED":              "a variable of the soak test, the same as in e2e",
	}
}

// TestTheKitKnowsNoShop checks the texts of pkg, tests included, without pkg/events, which is the
// shop's contract.
func TestTheKitKnowsNoShop(t *testing.T) {
	dir := filepath.Join(root(t), "pkg")
	exceptions, words := kitExceptions(), shopWords()
	used := map[string]bool{}
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if d.IsDir() && (rel == "events" || strings.HasPrefix(d.Name(), ".") && rel != ".") {
			return filepath.SkipDir
		}
		if d.IsDir() || !slices.Contains([]string{".go", ".sql", ".md", ".yaml", ".avsc", ".sh"}, filepath.Ext(path)) {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		number := 0
		for line := range strings.Lines(string(text)) {
			number++
			for part := range exceptions {
				if strings.Contains(line, part) {
					used[part] = true
					line = strings.ReplaceAll(line, part, "")
				}
			}
			for why, word := range words {
				if found := word.FindString(line); found != "" {
					t.Errorf("pkg/%s:%d has %q, %s", filepath.ToSlash(rel), number, found, why)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 300 {
		t.Errorf("only %d files were read", files)
	}
	for part := range exceptions {
		if !used[part] {
			t.Errorf("no line of pkg has %s any more: take that out of this list", part)
		}
	}
}
