package registry_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"eventshop.example/local/registry"
)

// A crash in the middle of a line leaves an entry that was never acknowledged.
func TestEverythingAcknowledgedSurvivesReopening(t *testing.T) {
	t.Parallel()
	for name, torn := range map[string]string{
		"clean end":            "",
		"half a line":          `{"crc32c":12,"entry":{"ki`,
		"a line without end":   `{"crc32c":12,"entry":{}}`,
		"zeros, never written": strings.Repeat("\x00", 5000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := open(t, dir)
			s.setLevel("", "FULL")
			s.setLevel("s", "NONE")
			first := s.mustRegister("s", base)
			second := s.mustRegister("s", retyped)
			s.mustRegister("shared", base)
			s.stop()
			appendTo(t, journalOf(dir), torn)

			s = open(t, dir)
			if a := s.call("GET", "/subjects/s/versions/latest", nil); a.body["id"] != float64(second) || a.body["version"] != 2.0 {
				t.Error(a.raw)
			}
			if a := s.call("GET", "/subjects/shared/versions/1", nil); a.body["id"] != float64(first) || a.body["schema"] != base {
				t.Error(a.raw)
			}
			if a := s.call("GET", "/config", nil); a.body["compatibilityLevel"] != "FULL" {
				t.Error(a.raw)
			}
			if a := s.call("GET", "/config/s", nil); a.body["compatibilityLevel"] != "NONE" {
				t.Error(a.raw)
			}
			if again := s.mustRegister("s", base); again != first {
				t.Errorf("the same schema has id %d now, was %d", again, first)
			}
			if next := s.mustRegister("t", nullable); next != second+1 {
				t.Errorf("the next id is %d, want %d", next, second+1)
			}
			s.stop()

			s = open(t, dir) // the entries written after the cut are complete
			if a := s.call("GET", "/subjects", nil); a.raw != `["s","shared","t"]` {
				t.Error(a.raw)
			}
		})
	}
}

func TestADamagedJournalStopsTheStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	s.mustRegister("s", base)
	s.mustRegister("s", optional)
	s.mustRegister("t", retyped)
	s.stop()
	whole, err := os.ReadFile(journalOf(dir))
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(whole, []byte("\n"))
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"no JSON":             {[]byte("rubbish\n"), "line 1"},
		"an empty line":       {append([]byte("\n"), whole...), "line 1"},
		"a changed letter":    {bytes.Replace(whole, []byte(`note`), []byte(`nose`), 1), "line 2"},
		"a missing line":      {bytes.Join([][]byte{lines[0], lines[2]}, nil), "line 2"},
		"a repeated line":     {append(bytes.Clone(lines[0]), whole...), "line 2"},
		"a line cut, then on": {append(bytes.Clone(lines[0][:20]), lines[1]...), "line 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.WriteFile(journalOf(dir), c.content, 0o644); err != nil {
				t.Fatal(err)
			}
			r, err := registry.Open(dir)
			if err == nil {
				r.Close()
				t.Fatal("it was accepted")
			}
			if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), journalOf(dir)) {
				t.Errorf("the error names neither file nor %s: %v", c.want, err)
			}
			if after, _ := os.ReadFile(journalOf(dir)); !bytes.Equal(after, c.content) {
				t.Error("the evidence was changed")
			}
		})
	}
}

func TestASecondRegistryOnTheSameFolderIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open(t, dir)
	if _, err := registry.Open(dir); err == nil || !strings.Contains(err.Error(), "another registry uses") {
		t.Errorf("got %v", err)
	}
}

// Settings repeated at every start of a service do not make the journal grow.
func TestRepetitionWritesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	size := func() int64 {
		info, err := os.Stat(journalOf(dir))
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	s.setLevel("s", "FULL")
	s.mustRegister("s", base)
	before := size()
	s.setLevel("s", "FULL")
	s.mustRegister("s", base)
	if after := size(); after != before {
		t.Errorf("the journal grew from %d to %d bytes", before, after)
	}
}

// A failed write returns an error and is not visible to readers.
func TestAfterAFailureToWriteNothingIsAccepted(t *testing.T) {
	t.Parallel()
	r, err := registry.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(r.Handler())
	t.Cleanup(web.Close)
	s := &server{t: t, url: web.URL}
	s.mustRegister("s", base)
	if err := r.Close(); err != nil { // later writes to the file fail
		t.Fatal(err)
	}
	for range 2 {
		s.want(s.register("s", optional), http.StatusInternalServerError, 50001)
	}
	if a := s.call("GET", "/subjects/s/versions", nil); a.raw != "[1]" {
		t.Errorf("what was refused is there: %s", a.raw)
	}
	s.want(s.call("GET", "/readyz", nil), http.StatusServiceUnavailable, 503)
}

func journalOf(dir string) string { return filepath.Join(dir, "journal.jsonl") }

func appendTo(t *testing.T, file, text string) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}
