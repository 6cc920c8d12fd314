package wire

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/iotest"
)

// ask returns the answer and its body. A refusal must be a problem document.
func ask(t *testing.T, h http.Handler, r *http.Request) (*httptest.ResponseRecorder, map[string]any) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var body map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	if w.Code < 400 {
		return w, body
	}
	if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("%d has the content type %q", w.Code, got)
	}
	for _, name := range []string{"type", "title", "code", "detail"} {
		if text, ok := body[name].(string); !ok || text == "" {
			t.Errorf("%d has no %s: %s", w.Code, name, w.Body)
		}
	}
	if status, there := body["status"]; there {
		t.Errorf("%d has a status %v, which clients take for that of a charge", w.Code, status)
	}
	return w, body
}

func TestRefusalsAreProblemDocuments(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /things", func(w http.ResponseWriter, r *http.Request) {
		var in struct{ A int }
		if _, ok := Key(w, r); !ok || !Read(w, r, &in) {
			return
		}
		Send(w, Answer{Status: http.StatusCreated, Body: in})
	})
	mux.HandleFunc("GET /things", func(w http.ResponseWriter, r *http.Request) {
		if _, _, ok := Page(w, r, 1, 2); ok {
			Send(w, Refuse(http.StatusConflict, "gone", "the thing is gone").With("thing", map[string]string{"status": "gone"}))
		}
	})
	mux.HandleFunc("GET /unspeakable", func(w http.ResponseWriter, _ *http.Request) {
		Send(w, Answer{Status: http.StatusOK, Body: func() {}})
	})
	post := func(body io.Reader) *http.Request {
		r := httptest.NewRequest("POST", "/things", body)
		r.Header.Set(IdempotencyKey, "k")
		return r
	}
	for name, tt := range map[string]struct {
		request *http.Request
		status  int
		code    string
	}{
		"no key":         {httptest.NewRequest("POST", "/things", strings.NewReader(`{}`)), 400, "idempotency_key_required"},
		"no JSON":        {post(strings.NewReader("x")), 400, "bad_request"},
		"unknown member": {post(strings.NewReader(`{"B":1}`)), 400, "bad_request"},
		"not in time":    {post(io.MultiReader(strings.NewReader(`{"A"`), iotest.ErrReader(fmt.Errorf("read: %w", os.ErrDeadlineExceeded)))), 408, "request_timeout"},
		"bad page":       {httptest.NewRequest("GET", "/things?limit=9", nil), 400, "bad_request"},
		"a conflict":     {httptest.NewRequest("GET", "/things", nil), 409, "gone"},
		"no such path":   {httptest.NewRequest("GET", "/nothing", nil), 404, "not_found"},
		"wrong method":   {httptest.NewRequest("DELETE", "/things", nil), 405, "method_not_allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			w, body := ask(t, Routes(mux), tt.request)
			if w.Code != tt.status || body["code"] != tt.code {
				t.Errorf("%d %s, want %d %s", w.Code, w.Body, tt.status, tt.code)
			}
			if allow := w.Header().Get("Allow"); (allow == "GET, HEAD, POST") != (tt.status == 405) {
				t.Errorf("Allow: %q", allow)
			}
			if thing, there := body["thing"]; there != (tt.code == "gone") {
				t.Errorf("thing: %v", thing)
			}
		})
	}
	w := httptest.NewRecorder()
	Routes(mux).ServeHTTP(w, httptest.NewRequest("GET", "/unspeakable", nil))
	if w.Code != http.StatusInternalServerError || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("a body that cannot be encoded: %d %s", w.Code, w.Body)
	}
	if w, body := ask(t, Routes(mux), post(strings.NewReader(`{"A":1}`))); w.Code != 201 || w.Header().Get("Content-Type") != "application/json" || body["A"] != 1.0 {
		t.Errorf("a success: %d %s", w.Code, w.Body)
	}
}
