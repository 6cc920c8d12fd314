package cli_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"eventshop.example/local/registry"
)

// contractFolder is a folder of schemas with one subject.
type contractFolder struct {
	*shop
	dir string
}

func newContract(t *testing.T) *contractFolder {
	t.Helper()
	return &contractFolder{&shop{t: t, state: t.TempDir()}, t.TempDir()}
}

// current replaces the schema.
func (f *contractFolder) current(text string) {
	f.t.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, "r.avsc"), []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f *contractFolder) schema(args ...string) (string, error) {
	f.t.Helper()
	return f.run(append([]string{"schema", "--schemas", f.dir}, args...)...)
}

func (f *contractFolder) mustSchema(args ...string) string {
	f.t.Helper()
	out, err := f.schema(args...)
	if err != nil {
		f.t.Fatalf("shop schema %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (f *contractFolder) failsSchema(args []string, parts ...string) string {
	f.t.Helper()
	return f.fails(append([]string{"schema", "--schemas", f.dir}, args...), parts...)
}

// The life of a schema: new, released, changed, released again.
func TestSchemaCheckAndRelease(t *testing.T) {
	t.Parallel()
	f := newContract(t)
	f.current(record(field("a", `"int"`)))
	f.has(f.mustSchema("check"), "new:        n.v1.R: not released yet, r.avsc", "1 subject, 1 not released; 0 breaches")
	f.failsSchema([]string{"check", "--strict"}, "1 schema is not released: shop schema release")
	f.has(f.mustSchema("release"), "wrote released/n.v1.R/1.avsc")
	f.has(f.mustSchema("release"), "nothing to release")
	f.has(f.mustSchema("check", "--strict"), "1 subject, 0 not released; 0 breaches")

	f.current(record(field("a", `"int"`), defaulted("b", `"int"`, "0")))
	f.has(f.mustSchema("check"), "changed:    n.v1.R: version 2 is not released yet (FULL_TRANSITIVE), r.avsc")
	if v := decode(t, f.mustSchema("release", "--json")); len(v["files"].([]any)) != 1 {
		t.Errorf("%v", v)
	}
	if v := decode(t, f.mustSchema("release", "--json")); len(v["files"].([]any)) != 0 {
		t.Errorf("%v", v)
	}

	f.current(record(field("a", `"string"`), defaulted("b", `"int"`, "0")))
	const breach = "breach:     n.v1.R/a: int cannot be read as string (reader: current, writer: version 1)"
	f.has(f.failsSchema([]string{"check"}, "the contract is breached"), breach, "reader: version 2, writer: current", "4 breaches")
	f.has(f.failsSchema([]string{"release"}, "nothing is released"), breach)
	if _, err := os.Stat(filepath.Join(f.dir, "released", "n.v1.R", "3.avsc")); !os.IsNotExist(err) {
		t.Errorf("a breach is released: %v", err)
	}
	v := decode(t, f.failsSchema([]string{"check", "--json"}, "breached"))
	subject := v["subjects"].([]any)[0].(map[string]any)
	first := subject["breaches"].([]any)[0].(map[string]any)
	if subject["state"] != "changed" || first["path"] != "n.v1.R/a" || first["reader"] != "current" || first["writer"] != "version 1" {
		t.Errorf("%v", v)
	}

	f.current(strings.Replace(record(field("a", `"int"`), defaulted("b", `"int"`, "0")), `"name":"R"`, `"name":"R","doc":"D."`, 1))
	f.has(f.mustSchema("check", "--strict"), "documented: n.v1.R: only its docs differ from version 2, r.avsc")
	if err := os.WriteFile(filepath.Join(f.dir, "released", "n.v1.R", "1.avsc"), []byte(record()), 0o600); err != nil {
		t.Fatal(err)
	}
	f.has(f.failsSchema([]string{"check"}, "breached"), "fault:      released/n.v1.R/1.avsc: was edited after its release; restore it")

	if _, err := f.run("schema", "check", "--schemas", filepath.Join(f.dir, "none")); err == nil {
		t.Error("no folder is no error")
	}
	if _, err := f.schema("check", "x"); err == nil {
		t.Error("an argument is no error")
	}
}

// The schemas of this repository are found without --schemas.
func TestSchemaCheckFindsTheRepository(t *testing.T) {
	t.Parallel()
	f := newContract(t)
	f.has(f.must("schema", "check"), "subjects, ", "; 0 breaches")
}

// The command and the embedded registry decide alike about every pair, at each level, and name the
// same places; and both decide as the Avro specification does, whose verdict is in the table.
func TestSchemaCheckDecidesAsTheRegistry(t *testing.T) {
	t.Parallel()
	r, err := registry.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(r.Handler())
	t.Cleanup(func() {
		server.Close()
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	// A subject that the catalogue lacks, and one of a topic that does not keep its records.
	for _, level := range []struct{ name, namespace, record string }{
		{"FULL_TRANSITIVE", "n.v1", "R"}, {"BACKWARD", "eventshop.order.v1", "OrderPlaced"},
	} {
		for i, p := range evolutions() {
			t.Run(level.name+"/"+p.name, func(t *testing.T) {
				t.Parallel()
				want := p.backward && (p.forward || level.name == "BACKWARD")
				named := func(text string) string {
					text = strings.Replace(text, `"namespace":"n.v1","name":"R"`, `"namespace":"`+level.namespace+`","name":"`+level.record+`"`, 1)
					return strings.ReplaceAll(text, `"n.v1.R"`, `"`+level.namespace+"."+level.record+`"`)
				}
				f := newContract(t)
				subject := strings.Join([]string{level.name, string(rune('a' + i/26)), string(rune('a' + i%26))}, "-")
				put(t, "PUT", server.URL+"/config/"+subject, map[string]string{"compatibility": level.name})
				for _, text := range p.versions[:len(p.versions)-1] {
					f.current(named(text))
					f.mustSchema("release")
					put(t, "POST", server.URL+"/subjects/"+subject+"/versions", map[string]string{"schema": named(text)})
				}
				next := named(p.versions[len(p.versions)-1])
				f.current(next)
				out, err := f.schema("check", "--json")
				answer := put(t, "POST", server.URL+"/compatibility/subjects/"+subject+"/versions?verbose=true", map[string]string{"schema": next})
				if (err == nil) != want || answer["is_compatible"] != want {
					t.Errorf("want %v; check: %v, the registry: %v\n%s", want, err, answer, out)
				}
				var places, messages []string
				for _, b := range decode(t, out)["subjects"].([]any)[0].(map[string]any)["breaches"].([]any) {
					breach := b.(map[string]any)
					places = append(places, breach["path"].(string)+": "+breach["reason"].(string))
				}
				list, _ := answer["messages"].([]any)
				for _, m := range list {
					messages = append(messages, m.(string))
				}
				if !slices.EqualFunc(places, messages, func(place, message string) bool { return strings.HasSuffix(message, place) }) {
					t.Errorf("check names %q, the registry %q", places, messages)
				}
			})
		}
	}
}

// put sends a request that must succeed, and returns the answer.
func put(t *testing.T, method, url string, body any) map[string]any {
	t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s, %v\n%s", method, url, res.Status, err, content)
	}
	return decode(t, string(content))
}
