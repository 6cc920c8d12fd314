// Package wire reads and writes the JSON bodies of the sandbox servers.
//
// A body is one JSON value of at most 1 MiB without unknown members. Any other body gets a 400 with
// the code bad_request. Errors are problem documents (RFC 9457) with a member code for programs.
// They omit the member status. It would only repeat the status line. In these APIs, status is the
// text status of a charge or a shipment, and clients of previous releases would fail to read a
// number there.
package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"strconv"
)

const maxBody = 1 << 20

// IdempotencyKey is the request header that names an operation permanently.
const IdempotencyKey = "Idempotency-Key"

// maxKey bounds the size of a key in the ledger, in bytes.
const maxKey = 255

// Answer is one HTTP answer that is decided but not sent.
type Answer struct {
	Status int
	Body   any
}

// problem is the body of every answer that is not a success.
type problem map[string]any

// Refuse returns an answer with a problem document.
func Refuse(status int, code, format string, args ...any) Answer {
	p := problem{"type": "about:blank", "title": http.StatusText(status), "code": code}
	if detail := fmt.Sprintf(format, args...); detail != "" {
		p["detail"] = detail
	}
	return Answer{Status: status, Body: p}
}

// With returns a copy of a refusal with one more member.
func (a Answer) With(name string, value any) Answer {
	p, ok := a.Body.(problem)
	if !ok {
		return a
	}
	p = maps.Clone(p)
	p[name] = value
	return Answer{Status: a.Status, Body: p}
}

// Send writes the answer as JSON.
func Send(w http.ResponseWriter, a Answer) {
	body, err := json.Marshal(a.Body)
	if err != nil { // cannot happen with the bodies of these servers
		a.Status, a.Body = http.StatusInternalServerError, problem{}
		body = []byte(`{"type":"about:blank","title":"Internal Server Error","code":"encoding"}`)
	}
	contentType := "application/json"
	if _, refused := a.Body.(problem); refused {
		contentType = "application/problem+json"
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(a.Status)
	// The client may have left; it can look the outcome up by key.
	_, _ = w.Write(append(body, '\n'))
}

// Read decodes the request's body into v. When it cannot, it has answered 400, or 408 when the body
// did not arrive in time, and returns false.
func Read(w http.ResponseWriter, r *http.Request, v any) bool {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(v)
	if err == nil {
		if _, more := decoder.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("data after the JSON value")
		}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		// The request may be valid. A client that takes a 400 for a decision about it must not get
		// one because this server stops.
		Send(w, Refuse(http.StatusRequestTimeout, "request_timeout", "the body did not arrive in time"))
		return false
	}
	if err != nil {
		Send(w, Refuse(http.StatusBadRequest, "bad_request", "read body: %v", err))
		return false
	}
	return true
}

// ReadOptional is [Read] for a body that may be absent.
func ReadOptional(w http.ResponseWriter, r *http.Request, v any) bool {
	return r.ContentLength == 0 || Read(w, r, v)
}

// Key returns the request's idempotency key. Without a valid key it has answered 400 and returns
// false.
func Key(w http.ResponseWriter, r *http.Request) (string, bool) {
	key := r.Header.Get(IdempotencyKey)
	if key == "" || len(key) > maxKey {
		Send(w, Refuse(http.StatusBadRequest, "idempotency_key_required",
			"header %s must hold 1 to %d bytes", IdempotencyKey, maxKey))
		return "", false
	}
	return key, true
}

// Page reads the query parameters after (a sequence number, default 0) and limit. When they are not
// numbers in range, it has answered 400 and ok is false.
func Page(w http.ResponseWriter, r *http.Request, standard, most int) (after int64, limit int, ok bool) {
	limit = standard
	var err error
	if raw := r.URL.Query().Get("after"); raw != "" {
		after, err = strconv.ParseInt(raw, 10, 64)
	}
	if raw := r.URL.Query().Get("limit"); raw != "" && err == nil {
		limit, err = strconv.Atoi(raw)
	}
	if err != nil || after < 0 || limit < 1 || limit > most {
		Send(w, Refuse(http.StatusBadRequest, "bad_request", "after must be 0 or more, limit 1 to %d", most))
		return 0, 0, false
	}
	return after, limit, true
}

// Routes serves mux. For unknown routes it answers in the same form as the handlers: 404, or 405
// with the allowed methods.
func Routes(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler, pattern := mux.Handler(r)
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		said := &unsaid{header: http.Header{}, status: http.StatusNotFound}
		handler.ServeHTTP(said, r)
		if said.status != http.StatusMethodNotAllowed {
			Send(w, Refuse(http.StatusNotFound, "not_found", "there is no such path"))
			return
		}
		w.Header()["Allow"] = said.header["Allow"]
		Send(w, Refuse(http.StatusMethodNotAllowed, "method_not_allowed", "the path takes %s", said.header.Get("Allow")))
	})
}

// unsaid records an answer without sending it.
type unsaid struct {
	header http.Header
	status int
}

func (u *unsaid) Header() http.Header         { return u.header }
func (u *unsaid) Write(p []byte) (int, error) { return len(p), nil }
func (u *unsaid) WriteHeader(status int)      { u.status = status }
