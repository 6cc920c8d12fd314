package rules

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// contracts returns the OpenAPI documents of the services, by path.
func contracts(t *testing.T) map[string]string {
	t.Helper()
	dir := root(t)
	paths, err := filepath.Glob(filepath.Join(dir, "services", "*", "openapi.yaml"))
	if err != nil || len(paths) < 5 {
		t.Fatalf("%d documents found: %v", len(paths), err)
	}
	docs := map[string]string{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			t.Fatal(err)
		}
		docs[filepath.ToSlash(rel)] = string(text)
	}
	return docs
}

// block returns the lines of a schema; "" if there is none.
func block(doc, schema string) string {
	_, schemas, _ := strings.Cut(doc, "\n  schemas:")
	_, rest, found := strings.Cut(schemas, "\n    "+schema+":\n")
	if !found {
		return ""
	}
	var lines []string
	for line := range strings.Lines(rest) {
		if strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "      ") {
			break
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "")
}

// TestTheSameThingHasTheSameName checks that all services' APIs use the same names, so that a
// client of one can read the others.
func TestTheSameThingHasTheSameName(t *testing.T) {
	otherNames := map[string]string{
		"state": "status", "cancelReason": "cancellation", "changedAt": "updatedAt", "id_order": "orderId",
		"orderID": "orderId", "cursor": "nextCursor", "next": "nextCursor", "total": "totalAmount", "error": "Problem",
	}
	property := regexp.MustCompile(`(?m)^ {8,}([A-Za-z_]+):`)
	for path, doc := range contracts(t) {
		_, schemas, _ := strings.Cut(doc, "\n  schemas:\n")
		for _, m := range property.FindAllStringSubmatch(schemas, -1) {
			if better, is := otherNames[m[1]]; is {
				t.Errorf("%s has a field %s, which is %s in the other APIs", path, m[1], better)
			}
		}
	}
	if strings.Contains(block(contracts(t)["services/projection/openapi.yaml"], "Order"), "createdAt") {
		t.Error("the read model has createdAt, which is placedAt in the order service")
	}
}

// TestErrorsHaveOneShape compares the problem documents of all services.
func TestErrorsHaveOneShape(t *testing.T) {
	docs := contracts(t)
	want := block(docs["services/order/openapi.yaml"], "Problem")
	if !strings.Contains(want, "instance") {
		t.Fatalf("no Problem in the order service's document: %q", want)
	}
	for path, doc := range docs {
		if got := block(doc, "Problem"); got != want {
			t.Errorf("%s has another Problem:\n%s", path, got)
		}
	}
}

// TestACauseHasOneShape checks that the order service and the read model describe why an order was
// cancelled in the same form.
func TestACauseHasOneShape(t *testing.T) {
	docs := contracts(t)
	for _, path := range []string{"services/order/openapi.yaml", "services/projection/openapi.yaml"} {
		cause := block(docs[path], "Cause")
		fields := regexp.MustCompile(`(?m)^        ([a-z]+):`).FindAllStringSubmatch(cause, -1)
		if len(fields) != 2 || fields[0][1] != "reason" || fields[1][1] != "detail" || !strings.Contains(cause, "required: [reason]") {
			t.Errorf("%s: a Cause has the fields %v:\n%s", path, fields, cause)
		}
		if !strings.Contains(block(docs[path], "Order"), "cancellation:") {
			t.Errorf("%s: an Order has no cancellation", path)
		}
	}
}
