package registry_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"eventshop.example/local/registry"
)

// server is a registry with a folder, over HTTP.
type server struct {
	t    testing.TB
	url  string
	stop func()
}

func open(t testing.TB, dir string) *server {
	t.Helper()
	r, err := registry.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, r)
}

func serve(t testing.TB, r *registry.Registry) *server {
	t.Helper()
	web := httptest.NewServer(r.Handler())
	s := &server{t: t, url: web.URL}
	stopped := false
	s.stop = func() {
		if !stopped {
			stopped = true
			web.Close()
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(s.stop)
	return s
}

type answer struct {
	status int
	body   map[string]any
	raw    string
}

func (s *server) call(method, path string, in any) answer {
	s.t.Helper()
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			s.t.Fatal(err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequest(method, s.url+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if got := res.Header.Get("Content-Type"); got != "application/vnd.schemaregistry.v1+json" {
		s.t.Errorf("%s %s: content type %q", method, path, got)
	}
	a := answer{status: res.StatusCode, raw: strings.TrimSpace(string(b))}
	json.Unmarshal(b, &a.body) // lists leave it empty
	return a
}

func (s *server) register(subject, schema string) answer {
	s.t.Helper()
	return s.call("POST", "/subjects/"+subject+"/versions", map[string]string{"schema": schema})
}

func (s *server) mustRegister(subject, schema string) int {
	s.t.Helper()
	a := s.register(subject, schema)
	if a.status != http.StatusOK {
		s.t.Fatalf("register under %s: %d %s", subject, a.status, a.raw)
	}
	return int(a.body["id"].(float64))
}

func (s *server) setLevel(subject, level string) {
	s.t.Helper()
	path := "/config"
	if subject != "" {
		path += "/" + subject
	}
	if a := s.call("PUT", path, map[string]string{"compatibility": level}); a.status != http.StatusOK || a.body["compatibility"] != level {
		s.t.Fatalf("set level: %d %s", a.status, a.raw)
	}
}

func (s *server) want(a answer, status int, code float64) {
	s.t.Helper()
	if a.status != status || a.body["error_code"] != code || a.body["message"] == "" {
		s.t.Errorf("got %d %s, want status %d and error code %v", a.status, a.raw, status, code)
	}
}

func record(fields ...string) string {
	return `{"type":"record","name":"R","namespace":"n","fields":[` + strings.Join(fields, ",") + `]}`
}

func field(name, typ string) string { return fmt.Sprintf(`{"name":%q,"type":%s}`, name, typ) }

func defaulted(name, typ, def string) string {
	return fmt.Sprintf(`{"name":%q,"type":%s,"default":%s}`, name, typ, def)
}
