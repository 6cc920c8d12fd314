package jsonhttp_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"eventshop.example/ops/jsonhttp"
)

// serve returns the URL of a server that answers each request with a status and a body.
func serve(t *testing.T, status int, body string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestCallSendsAndDecodes(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPut || r.URL.RequestURI() != "/things/7?q=a+b" || r.Header.Get("X-By") != "ada" ||
			r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
		}
		w.Write([]byte(`{"name":"seven"}`))
	}))
	t.Cleanup(server.Close)
	var out struct{ Name string }
	for _, c := range []struct {
		client jsonhttp.Client
		path   string
	}{
		{jsonhttp.New(server.URL+"/", nil), "/things/7"},
		{jsonhttp.New("", nil), server.URL + "/things/7"},
	} {
		out.Name = ""
		err := c.client.Call(t.Context(), http.MethodPut, c.path, url.Values{"q": {"a b"}}, map[string]int{"n": 7}, &out, "X-By", "ada")
		if err != nil || out.Name != "seven" {
			t.Errorf("%s: %q, %v", c.path, out.Name, err)
		}
	}
}

func TestAnswersOutside2xxAreProblems(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		body   string
		want   string
	}{
		"problem details":  {422, `{"title":"Unprocessable","status":422,"detail":"no","errors":[{"field":"payload.id","detail":"is required"}]}`, "no: payload.id is required"},
		"title only":       {409, `{"title":"Conflict"}`, "Conflict"},
		"a message":        {409, `{"error_code":409,"message":"a rebalance"}`, "a rebalance"},
		"an empty object":  {500, `{}`, "HTTP status 500"},
		"no JSON":          {502, `<html>`, "GET /x: 502 Bad Gateway"},
		"another document": {404, `["x"]`, "GET /x: 404 Not Found"},
		"no body":          {503, ``, "GET /x: 503 Service Unavailable"},
		"a redirection":    {304, ``, "GET /x: 304 Not Modified"},
	} {
		err := jsonhttp.New(serve(t, c.status, c.body), nil).Call(t.Context(), http.MethodGet, "/x", nil, nil, nil)
		if jsonhttp.StatusOf(err) != c.status || err.Error() != c.want {
			t.Errorf("%s: %v with status %d, want %q with %d", name, err, jsonhttp.StatusOf(err), c.want, c.status)
		}
	}
	if jsonhttp.StatusOf(errors.New("another")) != 0 || jsonhttp.StatusOf(nil) != 0 {
		t.Error("an error without a status has one")
	}
}

func TestSendReturnsAnyStatus(t *testing.T) {
	t.Parallel()
	a, err := jsonhttp.New(serve(t, http.StatusTeapot, "raw"), nil).Send(t.Context(), http.MethodPost, "/", []byte(`{"a":`))
	if err != nil || a.Status != http.StatusTeapot || string(a.Body) != "raw" || a.Header == nil {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestAnAnswerIsBounded(t *testing.T) {
	t.Parallel()
	base := serve(t, http.StatusOK, `"`+strings.Repeat("x", 32<<20)+`"`)
	var out string
	if err := jsonhttp.New(base, nil).Call(t.Context(), http.MethodGet, "/x", nil, nil, &out); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("%v", err)
	}
}

func TestAnAnswerThatIsNoJSON(t *testing.T) {
	t.Parallel()
	var out struct{}
	c := jsonhttp.New(serve(t, http.StatusOK, "<html>"), nil)
	if err := c.Call(t.Context(), http.MethodGet, "/x", nil, nil, &out); err == nil || !strings.Contains(err.Error(), "GET /x: the answer is not as expected") {
		t.Errorf("%v", err)
	}
	if err := c.Call(t.Context(), http.MethodGet, "/x", nil, nil, nil); err != nil {
		t.Errorf("an answer that the caller does not read: %v", err)
	}
}

// TestUnreachableSaysWhetherTheRequestWasSent: only a request that was not sent may go to another
// replica.
func TestUnreachableSaysWhetherTheRequestWasSent(t *testing.T) {
	t.Parallel()
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	mute := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	t.Cleanup(mute.Close)
	torn := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		w.Write([]byte("half"))
	}))
	t.Cleanup(torn.Close)
	frozen := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(frozen.Close)
	for name, c := range map[string]struct {
		base string
		sent bool
		says string
	}{
		"nothing listens":       {closed.URL, false, "connection refused"},
		"hangs up":              {mute.URL, true, "EOF"},
		"hangs up on the way":   {torn.URL, true, "unexpected EOF"},
		"accepts and is frozen": {frozen.URL, true, "does not answer"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		err := jsonhttp.New(c.base, nil).Call(ctx, http.MethodPost, "/x", nil, nil, nil)
		cancel()
		u, ok := errors.AsType[*jsonhttp.Unreachable](err)
		if !ok || u.Sent != c.sent || u.Base != c.base || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, sent %v; want %v and %q", name, err, ok && u.Sent, c.sent, c.says)
		}
	}
}
