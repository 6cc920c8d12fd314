package registry_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSameSchemaSameID(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	first := s.mustRegister("a", base)
	for what, text := range map[string]string{
		"again":                 base,
		"with other whitespace": strings.ReplaceAll(base, ",", " ,\n "),
		"with a qualified name": strings.Replace(base, `"name":"R","namespace":"n"`, `"name":"n.R"`, 1),
	} {
		if id := s.mustRegister("a", text); id != first {
			t.Errorf("%s: id %d, want %d", what, id, first)
		}
	}
	if a := s.call("GET", "/subjects/a/versions", nil); a.raw != "[1]" {
		t.Errorf("versions %s, want one", a.raw)
	}
	if id := s.mustRegister("b", base); id != first {
		t.Errorf("under another subject: id %d, want %d", id, first)
	}
	if id := s.mustRegister("a", optional); id == first {
		t.Error("another schema has the same id")
	}
	if a := s.call("GET", fmt.Sprintf("/schemas/ids/%d/versions", first), nil); a.raw != `[{"subject":"a","version":1},{"subject":"b","version":1}]` {
		t.Error(a.raw)
	}
}

func TestReading(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	if a := s.call("GET", "/subjects", nil); a.raw != "[]" {
		t.Errorf("no subjects: %s", a.raw)
	}
	one := s.mustRegister("s", base)
	two := s.mustRegister("s", optional)
	if a := s.call("GET", "/subjects", nil); a.raw != `["s"]` {
		t.Error(a.raw)
	}
	if a := s.call("GET", "/subjects/s/versions", nil); a.raw != "[1,2]" {
		t.Error(a.raw)
	}
	want := map[string]any{"subject": "s", "version": 2.0, "id": float64(two), "schema": optional}
	for _, path := range []string{"/subjects/s/versions/2", "/subjects/s/versions/latest", "/subjects/s/versions/-1"} {
		if diff := cmp.Diff(want, s.call("GET", path, nil).body); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	if diff := cmp.Diff(want, s.call("POST", "/subjects/s", map[string]string{"schema": optional}).body); diff != "" {
		t.Errorf("lookup (-want +got):\n%s", diff)
	}
	if a := s.call("GET", fmt.Sprintf("/schemas/ids/%d", one), nil); a.body["schema"] != base {
		t.Error(a.raw)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	s.mustRegister("s", base)
	posted := func(schema string) map[string]string { return map[string]string{"schema": schema} }
	for _, c := range []struct {
		method, path string
		body         any
		status       int
		code         float64
	}{
		{"GET", "/subjects/none/versions", nil, 404, 40401},
		{"GET", "/subjects/none/versions/1", nil, 404, 40401},
		{"GET", "/subjects/s/versions/2", nil, 404, 40402},
		{"GET", "/subjects/s/versions/0", nil, 422, 42202},
		{"GET", "/subjects/s/versions/x", nil, 422, 42202},
		{"GET", "/schemas/ids/99", nil, 404, 40403},
		{"GET", "/schemas/ids/x", nil, 404, 40403},
		{"GET", "/schemas/ids/0", nil, 404, 40403},
		{"GET", "/schemas/ids/99999999999999999999", nil, 404, 40403},
		{"GET", "/schemas/ids/99/versions", nil, 404, 40403},
		{"GET", "/subjects/s/versions/2147483648", nil, 422, 42202},
		{"GET", "/subjects/none/versions/latest", nil, 404, 40401},
		{"GET", "/livez/more", nil, 404, 404},
		{"DELETE", "/subjects/s", nil, 405, 405},
		{"POST", "/subjects/%00", posted(base), 422, 42208},
		{"POST", "/subjects/%ff/versions", posted(base), 422, 42208},
		{"POST", "/subjects//versions", posted(base), 422, 42208},
		{"PUT", "/config", posted(""), 422, 42203},
		{"PUT", "/config/s", map[string]any{"compatibility": 3}, 400, 400},
		{"POST", "/subjects/s/versions", nil, 400, 400},
		{"POST", "/subjects/s/versions", map[string]any{"schema": base, "references": []any{map[string]any{"name": "x"}}}, 422, 42201},
		{"POST", "/subjects/s/versions", posted(strings.Repeat("[", 200_000)), 422, 42201},
		{"POST", "/subjects/s/versions", posted(strings.Repeat("x", 1<<20)), 413, 413},
		{"POST", "/compatibility/subjects/s/versions/0", posted(base), 422, 42202},
		{"POST", "/compatibility/subjects/s", posted(base), 404, 404},
		{"GET", "/nothing", nil, 404, 404},
		{"POST", "/subjects/none", posted(base), 404, 40401},
		{"POST", "/subjects/s", posted(optional), 404, 40403},
		{"POST", "/subjects/s/versions", posted(`{"type":"record"}`), 422, 42201},
		{"POST", "/subjects/s/versions", posted(`no JSON`), 422, 42201},
		{"POST", "/subjects/s/versions", posted(`"undefined.Name"`), 422, 42201},
		{"POST", "/subjects/s/versions", posted(""), 422, 42201},
		{"POST", "/subjects/s/versions", map[string]string{"schema": "{}", "schemaType": "PROTOBUF"}, 422, 42201},
		{"POST", "/subjects/s/versions", []int{}, 400, 400},
		{"POST", "/compatibility/subjects/none/versions/latest", posted(base), 404, 40401},
		{"POST", "/compatibility/subjects/s/versions/7", posted(base), 404, 40402},
		{"POST", "/compatibility/subjects/s/versions/1", posted("x"), 422, 42201},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			t.Parallel()
			s := &server{t: t, url: s.url}
			s.want(s.call(c.method, c.path, c.body), c.status, c.code)
		})
	}
}

// A subject may contain slashes, unescaped or escaped. Only an escaped one can contain text that
// looks like the rest of the path.
func TestSubjectsWithSlashes(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	for i, c := range []struct{ plain, escaped, json string }{
		{"team/a", "team%2Fa", "team/a"},
		{"a//b", "a%2F%2Fb", "a//b"},
		{"versions", "%76ersions", "versions"},
		{"../x", "..%2Fx", "../x"},
		{"o%20p+q", "o%20p%2Bq", "o p+q"},
	} {
		id := s.mustRegister(c.plain, record(field(fmt.Sprintf("f%d", i), `"int"`)))
		for _, subject := range []string{c.plain, c.escaped} {
			a := s.call("GET", "/subjects/"+subject+"/versions/latest", nil)
			if a.body["id"] != float64(id) || a.body["subject"] != c.json {
				t.Errorf("%s: %d %s, want id %d of %s", subject, a.status, a.raw, id, c.json)
			}
		}
	}
	s.mustRegister("x%2Fversions%2F1", base)
	if a := s.call("GET", "/subjects/x%2Fversions%2F1/versions", nil); a.raw != "[1]" {
		t.Errorf("%d %s", a.status, a.raw)
	}
	if a := s.call("POST", "/subjects/x%2Fversions%2F1", map[string]string{"schema": base}); a.body["version"] != 1.0 {
		t.Errorf("look up under the escaped subject: %d %s", a.status, a.raw)
	}
	s.want(s.call("GET", "/subjects/x/versions/1", nil), http.StatusNotFound, 40401)
	s.setLevel("x%2Fy", "FULL")
	if a := s.call("GET", "/config/x/y", nil); a.body["compatibilityLevel"] != "FULL" {
		t.Errorf("%d %s", a.status, a.raw)
	}
}

func TestProbes(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	for _, path := range []string{"", "/", "/livez", "/readyz"} {
		if a := s.call("GET", path, nil); a.status != http.StatusOK {
			t.Errorf("%s: %d %s", path, a.status, a.raw)
		}
	}
}
