package rules

import (
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// retired maps words that meant several things, or nothing, to the glossary's word. Strings keep
// them where they are data, or the name of a fault.
var retired = map[string]string{
	"rubbish": "poison", "told": "say what happens after the commit", "teller": "reader", "victim": "target",
	"blow": "planted fault", "strike": "plant", "rig": "fixture, stack", "lane": "parked key",
	"lone": "one record per batch", "careful": "with savepoints",
}

// generic words of the glossary appear in the code in another form.
var inAnotherForm = map[string]string{
	"event notification": "notification", "event-carried state transfer": "event-carried", "polling publisher": "polling",
	"first occurrence": "occurrence", "unknown outcome": "unknown", "read model": "readmodel", "retry topic": "retrytopic",
	"parked key": "parkedkey", "dead letter": "deadletter", "circuit breaker": "breaker", "correlation id": "correlationid",
	"causation id": "causationid", "idempotency key": "idempotencykey", "fencing token": "fenc", "integration event": "integration event",
	"replication slot": "replication slot", "change data capture": "capture", "poison record": "poison", "domain event": "domain event",
	"event store": "eventstore",
}

// TestTheGlossaryIsUsed: each word of the glossary is a word of the code, once.
func TestTheGlossaryIsUsed(t *testing.T) {
	var all strings.Builder
	for _, s := range sources(t) {
		if strings.HasSuffix(s.path, "glossary_test.go") {
			continue
		}
		b, err := os.ReadFile(filepath.Join(root(t), s.path))
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	text := strings.ToLower(all.String())
	page, err := os.ReadFile(filepath.Join(root(t), "docs", "glossary.md"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, row := range regexp.MustCompile(`(?m)^\| ([^|]+) \| [^|]+ \|$`).FindAllStringSubmatch(string(page), -1) {
		for _, word := range strings.Split(row[1], ", ") {
			if word == "word" || strings.HasPrefix(word, "---") {
				continue
			}
			if seen[word] {
				t.Errorf("docs/glossary.md explains %q twice", word)
			}
			seen[word] = true
			form := word
			if other, ok := inAnotherForm[word]; ok {
				form = other
			}
			if !strings.Contains(text, form) {
				t.Errorf("docs/glossary.md explains %q, which no Go file says (%q)", word, form)
			}
		}
	}
	if len(seen) < 40 {
		t.Errorf("%d words found in docs/glossary.md", len(seen))
	}
}

// TestRetiredNamesAreGone: no identifier is, or begins or ends with, a name that was retired.
func TestRetiredNamesAreGone(t *testing.T) {
	words := regexp.MustCompile(`[A-Z]?[a-z]+|[A-Z]+`)
	for _, s := range sources(t) {
		if s.generated {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			id, ok := n.(*ast.Ident)
			if !ok {
				return true
			}
			for _, w := range words.FindAllString(id.Name, -1) {
				w = strings.TrimSuffix(strings.ToLower(w), "s")
				if use, gone := retired[w]; gone {
					t.Errorf("%s: the name %s has a retired word; the field says: %s", s.path, id.Name, use)
				}
			}
			return true
		})
	}
}
